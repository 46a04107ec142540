import type { Clock, Timer } from "../base/clock.js";
import type { RevocationEvent } from "../session/event.js";
import { compareRevisions, type Revision } from "../session/revision.js";
import type { PullResult, RevocationLog } from "../store/revocation-log.js";
import { StoreBehindError, StoreUnavailableError } from "../store/store-error.js";
import {
  assembleFrame,
  entriesAfter,
  type EventFrame,
  type FrameRequest,
  type LogPage,
} from "./event-frame.js";
import { EventRing, type RingEntry } from "./event-ring.js";
import { FrameCache } from "./frame-cache.js";
import { LogReader } from "./log-reader.js";
import type { ResetReason, WatchCodec } from "./watch-codec.js";
import { FRAME_EVENTS_MAX, PULL_EVENTS_MAX, type WatchOptions } from "./watch-options.js";

/*
 * Follows the log of one partition and keeps its newest events.
 *
 * Reading is the only thing that proves anything: a nudge may be lost and says
 * nothing about what came before it. So everything that wants news asks for a
 * pull, and there is never more than one in flight. Who asks while one is in
 * flight gets the next: the answer under way may have been read before the
 * question was asked, and a Sync that took it would renew a lease with it
 * (I4). The callers of one pull share it, and pulls that Syncs ask for start at
 * least 20 ms apart, so a thousand clients cost the store what one does.
 *
 * The ring holds one generation. Whenever the history changes, or the log was
 * trimmed past what the tail has read, the ring starts again, empty, at the new
 * head. Every watcher is then before the ring and has to read the log with its
 * own cursor, and that answer is the resume table: it goes on, or it is reset.
 * There is no way around the table, so there is no silent gap.
 *
 * `published` trails the ring's head by a few milliseconds: watchers see news
 * in common steps, and so share the messages made of them.
 */

/** What a tail and its hub share. */
export interface TailEnvironment {
  readonly log: RevocationLog;
  readonly clock: Clock;
  readonly codec: WatchCodec;
  readonly options: WatchOptions;
  readonly counters: TailCounters;
  /** Called when a partition has news. */
  readonly onNews: (partition: number) => void;
}

/** What the tails did, for tests and statistics. */
export interface TailCounters {
  pulls: number;
  pullsFailed: number;
  eventsEncoded: number;
  framesAssembled: number;
  restarts: number;
  /** Receivers that could not resume a partition, by the reason they were told. */
  readonly resets: Record<ResetReason, number>;
}

/**
 * The answer to a frame request.
 *
 * - `idle`: nothing to look at yet.
 * - `frame`: the next stretch.
 * - `unread`: the cursor is before the ring and `readLog` comes first.
 * - `reset`: the position cannot be resumed; go on at `at`.
 */
export type FrameAnswer =
  | { readonly kind: "idle" }
  | { readonly kind: "frame"; readonly frame: EventFrame }
  | { readonly kind: "unread" }
  | {
      readonly kind: "reset";
      readonly at: Revision;
      readonly reason: "too-old" | "history-forked";
    };

interface Waiter {
  readonly promise: Promise<Revision>;
  readonly resolve: (head: Revision) => void;
  readonly reject: (error: unknown) => void;
}

/** One partition's tail. */
export class PartitionTail {
  readonly partition: number;
  readonly #environment: TailEnvironment;
  readonly #frames: FrameCache;
  readonly #reader: LogReader;
  #ring: EventRing | undefined;
  #published: Revision | undefined;
  #logHead: Revision | undefined;
  #pulledAtMs = -Infinity;
  // Counts pulls, so that the answer to an abandoned one is recognised.
  #pullId = 0;
  #inFlight: { readonly startedAtMs: number; readonly waiter: Waiter | undefined } | undefined;
  #isWanted = false;
  #next: Waiter | undefined;
  #syncPullAtMs = -Infinity;
  #syncTimer: Timer | undefined;
  #isStopped = false;

  constructor(partition: number, environment: TailEnvironment) {
    this.partition = partition;
    this.#environment = environment;
    this.#frames = new FrameCache();
    this.#reader = new LogReader(partition, {
      log: environment.log,
      toEntry: (event) => this.#toEntry(event),
    });
  }

  /** The events in memory; undefined until the first pull. */
  get ring(): EventRing | undefined {
    return this.#ring;
  }

  /** How far watchers may see; undefined until the first pull. */
  get published(): Revision | undefined {
    return this.#published;
  }

  /** The head of the log as the last successful pull found it. */
  get logHead(): Revision | undefined {
    return this.#logHead;
  }

  /** Milliseconds since the last successful pull; Infinity before the first. */
  get ageMs(): number {
    return this.#environment.clock.monotonicMs() - this.#pulledAtMs;
  }

  /** Asks for a pull that starts after this call. */
  request(): void {
    if (this.#inFlight === undefined) {
      this.#start();
    } else {
      this.#isWanted = true;
    }
  }

  /**
   * The head of the log, read by a pull that starts after this call. Rejects
   * when that pull fails.
   */
  headAfterNow(): Promise<Revision> {
    this.#next ??= createWaiter();
    const { promise } = this.#next;
    if (this.#isStopped) {
      this.stop();
    } else if (this.#inFlight === undefined) {
      this.#scheduleSyncPull();
    }
    return promise;
  }

  /** Gives up on a pull that has been silent for too long; its answer is ignored. */
  abandonSilentPull(silentMs: number): void {
    const pull = this.#inFlight;
    if (
      pull !== undefined &&
      this.#environment.clock.monotonicMs() - pull.startedAtMs >= silentMs
    ) {
      this.#settle(this.#pullId, () => {
        throw new StoreUnavailableError(
          `Cannot read the log of partition ${this.partition}: no answer within ${silentMs} ms`,
          "no",
        );
      });
    }
  }

  /** Lets watchers see everything in the ring. */
  publish(): void {
    this.#published = this.#ring?.head;
  }

  /** The next message for a cursor. */
  frame(request: FrameRequest): FrameAnswer {
    const ring = this.#ring;
    const published = this.#published;
    if (
      ring === undefined ||
      published === undefined ||
      compareRevisions(request.scanned, published) >= 0
    ) {
      return { kind: "idle" };
    }
    if (ring.locate(request.scanned) === "before") {
      return this.#frameFromLog(request);
    }
    const entries = ring.slice(request.scanned, published, FRAME_EVENTS_MAX);
    const through = entries.at(-1)?.revision ?? published;
    return { kind: "frame", frame: this.#sharedFrame(request, { entries, through }) };
  }

  /** Reads the log after `cursor`. Shared by all who ask for the same page. */
  async readLog(cursor: Revision): Promise<LogPage> {
    return await this.#reader.read(cursor);
  }

  /** Ends what is pending. Waiting callers are told that the store is away. */
  stop(): void {
    this.#isStopped = true;
    this.#syncTimer?.cancel();
    this.#pullId += 1;
    const error = new StoreUnavailableError(
      `Cannot read the log of partition ${this.partition}: the replica is shutting down`,
      "no",
    );
    this.#inFlight?.waiter?.reject(error);
    this.#next?.reject(error);
    this.#inFlight = undefined;
    this.#next = undefined;
  }

  #frameFromLog(request: FrameRequest): FrameAnswer {
    const page = this.#reader.cached(request.scanned);
    if (page === undefined) {
      return { kind: "unread" };
    }
    if (page.verdict !== "continue") {
      return { kind: "reset", at: page.head, reason: page.verdict };
    }
    const entries = entriesAfter(page, request.scanned) ?? [];
    return {
      kind: "frame",
      frame: this.#sharedFrame(request, { entries, through: page.through }),
    };
  }

  #sharedFrame(
    request: FrameRequest,
    stretch: { readonly entries: readonly RingEntry[]; readonly through: Revision },
  ): EventFrame {
    return this.#frames.get(request, stretch.through, () => {
      this.#environment.counters.framesAssembled += 1;
      return assembleFrame(
        { announced: request.announced, filter: request.filter, ...stretch },
        this.#environment.codec,
      );
    });
  }

  #scheduleSyncPull(): void {
    if (this.#syncTimer !== undefined) {
      return;
    }
    const { clock, options } = this.#environment;
    const waitMs = this.#syncPullAtMs + options.syncPullSpacingMs - clock.monotonicMs();
    if (waitMs <= 0) {
      this.#start();
      return;
    }
    this.#syncTimer = clock.setTimer(waitMs, () => {
      this.#syncTimer = undefined;
      this.request();
    });
  }

  #start(): void {
    if (this.#isStopped) {
      return;
    }
    const { clock, counters, log } = this.#environment;
    const waiter = this.#next;
    if (waiter !== undefined) {
      this.#syncPullAtMs = clock.monotonicMs();
    }
    this.#next = undefined;
    this.#isWanted = false;
    this.#syncTimer?.cancel();
    this.#syncTimer = undefined;
    this.#pullId += 1;
    const pullId = this.#pullId;
    this.#inFlight = { startedAtMs: clock.monotonicMs(), waiter };
    counters.pulls += 1;
    log.pull(this.partition, this.#ring?.head, PULL_EVENTS_MAX).then(
      (result) => {
        this.#settle(pullId, () => this.#ingest(result));
      },
      (error: unknown) => {
        this.#settle(pullId, () => {
          throw error;
        });
      },
    );
  }

  #settle(pullId: number, ingest: () => Revision): void {
    if (pullId !== this.#pullId || this.#inFlight === undefined) {
      return;
    }
    const { waiter } = this.#inFlight;
    this.#inFlight = undefined;
    // Whatever answers from now on to this pull is late.
    this.#pullId += 1;
    try {
      const head = ingest();
      waiter?.resolve(head);
    } catch (error) {
      this.#environment.counters.pullsFailed += 1;
      // What was wanted waits for the timer: a store that fails at once must not be asked at once.
      this.#isWanted = false;
      waiter?.reject(error);
    }
    if (this.#isWanted) {
      this.#start();
    } else if (this.#next !== undefined) {
      this.#scheduleSyncPull();
    }
  }

  #ingest(result: PullResult): Revision {
    if (result.verdict === "behind") {
      throw new StoreBehindError(
        `Cannot follow partition ${this.partition}: the log is behind what was read before`,
      );
    }
    const before = this.#ring?.head;
    const ring = this.#extend(result);
    this.#logHead = result.head;
    this.#pulledAtMs = this.#environment.clock.monotonicMs();
    if (compareRevisions(ring.head, result.head) < 0) {
      this.#isWanted = true;
    }
    if (before === undefined || compareRevisions(before, ring.head) !== 0) {
      this.#environment.onNews(this.partition);
    }
    return result.head;
  }

  #extend(result: PullResult): EventRing {
    const ring = this.#ring;
    if (ring === undefined) {
      this.#ring = new EventRing(this.#environment.options.ringCapacity, result.head);
      this.#published = result.head;
      return this.#ring;
    }
    if (isNextStretch(ring, result)) {
      for (const event of result.events) {
        ring.append(this.#toEntry(event));
      }
    } else {
      this.#restart(ring, result.verdict === "continue" ? result.through : result.head);
    }
    return ring;
  }

  #restart(ring: EventRing, at: Revision): void {
    this.#environment.counters.restarts += 1;
    this.#reader.clear();
    ring.restart(at);
    this.#published = at;
  }

  #toEntry(event: RevocationEvent): RingEntry {
    this.#environment.counters.eventsEncoded += 1;
    return {
      revision: event.revision,
      tenantId: event.target.kind === "all" ? undefined : event.tenantId,
      bytes: this.#environment.codec.encodeEvent(event),
    };
  }
}

/** Whether the result goes on where the ring ends, in its generation and without a hole. */
function isNextStretch(ring: EventRing, result: PullResult): boolean {
  const { head } = ring;
  return (
    result.verdict === "continue" &&
    result.through.generation === head.generation &&
    result.through.sequence === head.sequence + result.events.length &&
    result.events.every(
      ({ revision }, index) =>
        revision.generation === head.generation && revision.sequence === head.sequence + 1 + index,
    )
  );
}

function createWaiter(): Waiter {
  let resolve: Waiter["resolve"] = () => undefined;
  let reject: Waiter["reject"] = () => undefined;
  const promise = new Promise<Revision>((settle, fail) => {
    resolve = settle;
    reject = fail;
  });
  // Nobody may be left waiting when it fails.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
