import type { Revision } from "../session/revision.js";
import { TooManyWatchersError, WatchDrainingError } from "./watch-error.js";
import type { WatchSink } from "./watch-sink.js";
import type { CloseCause, WatcherIdentity, WatcherState, WatchStart } from "./watcher-state.js";
import { Watcher, type WatcherEnvironment } from "./watcher.js";

/** What operators see of one watcher. */
export interface WatcherSummary {
  readonly identity: WatcherIdentity;
  readonly state: WatcherState;
  /** Milliseconds since it opened. */
  readonly ageMs: number;
  /** What the client has been told. */
  readonly position: readonly Revision[];
  /** How many events it has still to be told, in the generations that it shares with the tail. */
  readonly lagEvents: number;
}

/** What happened to the watchers of this replica since it started. */
export interface WatcherCounters {
  opened: number;
  /** Streams that found the replica full. */
  refused: number;
  readonly closed: Record<CloseCause, number>;
}

// Successive multiples of the golden ratio, modulo 1, are spread more evenly than random
// numbers: streams that opened together do not reach their age together.
const GOLDEN_RATIO = 0.618_033_988_75;

/** Holds the watchers of a replica, so that their number is bounded and all can be drained. */
export class WatcherRegistry {
  readonly counters: WatcherCounters = {
    opened: 0,
    refused: 0,
    closed: { ended: 0, drained: 0, "too-slow": 0, behind: 0 },
  };
  readonly #environment: WatcherEnvironment;
  readonly #watchers = new Map<Watcher, { readonly openedAtMs: number }>();
  #isDraining = false;
  #onEmpty: (() => void)[] = [];

  constructor(environment: WatcherEnvironment) {
    this.#environment = environment;
  }

  /** How many watchers there are now. */
  get size(): number {
    return this.#watchers.size;
  }

  /** Refuses where a new stream may not open. */
  admit(): void {
    if (this.#isDraining) {
      throw new WatchDrainingError("Cannot open a watch: the replica is shutting down");
    }
    const { watchersMax } = this.#environment.options;
    if (this.#watchers.size >= watchersMax) {
      this.counters.refused += 1;
      throw new TooManyWatchersError(
        `Cannot open a watch: the replica holds ${watchersMax}, as many as it may`,
      );
    }
  }

  /** Serves one stream until it ends. Rejects as `admit` and `Watcher.run` do. */
  async serve(start: WatchStart, sink: WatchSink): Promise<CloseCause> {
    this.admit();
    const ageShare = (this.counters.opened * GOLDEN_RATIO) % 1;
    const watcher = new Watcher(this.#environment, { ...start, ageShare }, sink);
    this.counters.opened += 1;
    this.#watchers.set(watcher, { openedAtMs: this.#environment.clock.monotonicMs() });
    try {
      return await watcher.run();
    } finally {
      this.#remove(watcher);
    }
  }

  /**
   * Takes no new watchers, asks all to reconnect within the time, and resolves
   * when the last one has gone: at the end of that time they are ended.
   */
  async drain(reconnectWithinMs: number): Promise<void> {
    this.#isDraining = true;
    for (const watcher of this.#watchers.keys()) {
      watcher.goaway(reconnectWithinMs);
    }
    if (this.#watchers.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty.push(resolve);
      });
    }
  }

  /** Takes no new watchers and ends all at once. */
  close(): void {
    this.#isDraining = true;
    for (const watcher of this.#watchers.keys()) {
      watcher.close("drained");
    }
  }

  /** Every watcher, for operators. */
  list(): readonly WatcherSummary[] {
    const nowMs = this.#environment.clock.monotonicMs();
    return [...this.#watchers].map(([watcher, { openedAtMs }]) => ({
      identity: watcher.identity,
      state: watcher.state,
      ageMs: nowMs - openedAtMs,
      position: watcher.position,
      lagEvents: this.#lagEvents(watcher),
    }));
  }

  #lagEvents(watcher: Watcher): number {
    let events = 0;
    for (const { partition, generation, sequence } of watcher.position) {
      const head = this.#environment.hub.tails[partition]?.logHead;
      if (head?.generation === generation) {
        events += Math.max(0, head.sequence - sequence);
      }
    }
    return events;
  }

  #remove(watcher: Watcher): void {
    const { state } = watcher;
    if (state.state === "closed") {
      this.counters.closed[state.cause] += 1;
    }
    this.#watchers.delete(watcher);
    if (this.#watchers.size === 0) {
      const waiting = this.#onEmpty;
      this.#onEmpty = [];
      for (const resolve of waiting) {
        resolve();
      }
    }
  }
}
