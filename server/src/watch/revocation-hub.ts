import type { Clock, Timer } from "../base/clock.js";
import { PARTITION_COUNT } from "../session/partition.js";
import type { Revision } from "../session/revision.js";
import type { RevocationLog } from "../store/revocation-log.js";
import { PartitionTail, type TailCounters } from "./partition-tail.js";
import type { WatchCodec } from "./watch-codec.js";
import type { WatchOptions } from "./watch-options.js";

/*
 * The one tail of a replica. Whatever the number of watchers, each partition of
 * the log is followed once, each event is encoded once, and each message is put
 * together once.
 *
 * Three things start a pull: a nudge from the store, which makes revocations
 * arrive within milliseconds and may be lost without harm; a timer, which
 * bounds how late they are if every nudge is lost; and a Sync, which needs to
 * know the head as it is now. The timer pulls all partitions in one turn of the
 * event loop, so that a pipelining store sends one write.
 *
 * News is coalesced here and not in the watchers: the first goes out at once,
 * what follows within 5 ms goes out together, and all watchers stop at the same
 * revisions. Without that, a thousand watchers of a burst would each cut the
 * log into messages of their own.
 */

/** What a hub is made of. */
export interface RevocationHubEnvironment {
  readonly log: RevocationLog;
  readonly clock: Clock;
  readonly codec: WatchCodec;
  readonly options: WatchOptions;
}

/** Follows all partitions and tells watchers when there is news. */
export class RevocationHub {
  readonly tails: readonly PartitionTail[];
  readonly counters: TailCounters = {
    pulls: 0,
    pullsFailed: 0,
    eventsEncoded: 0,
    framesAssembled: 0,
    restarts: 0,
    resets: { "too-old": 0, "history-forked": 0 },
  };
  readonly #environment: RevocationHubEnvironment;
  readonly #listeners = new Set<() => void>();
  readonly #news = new Set<number>();
  #publishedAtMs = -Infinity;
  #publishTimer: Timer | undefined;
  #pullTimer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(environment: RevocationHubEnvironment) {
    this.#environment = environment;
    const tail = { ...environment, counters: this.counters, onNews: this.#onNews.bind(this) };
    this.tails = Array.from(
      { length: PARTITION_COUNT },
      (_, partition) => new PartitionTail(partition, tail),
    );
  }

  /** Starts following. Calling it twice does nothing more. */
  start(): void {
    if (this.#unsubscribe !== undefined) {
      return;
    }
    this.#unsubscribe = this.#environment.log.onNudge((partition) => {
      this.tails[partition]?.request();
    });
    this.#pullAll();
  }

  /** Stops following and ends what is pending. Watchers are ended by their registry. */
  stop(): void {
    this.#unsubscribe?.();
    this.#pullTimer?.cancel();
    this.#publishTimer?.cancel();
    for (const tail of this.tails) {
      tail.stop();
    }
  }

  /** Milliseconds since each partition's last successful pull; Infinity before the first. */
  readiness(): readonly number[] {
    return this.tails.map(({ ageMs }) => ageMs);
  }

  /** The newest head of each partition that was ever read. */
  heads(): readonly Revision[] {
    return this.tails.flatMap(({ logHead }) => (logHead === undefined ? [] : [logHead]));
  }

  /**
   * The heads, each read by a pull that starts after this call. A partition
   * that has not answered within `timeoutMs`, or whose pull failed, is missing.
   */
  async headsAfterNow(timeoutMs: number): Promise<ReadonlyMap<number, Revision>> {
    return await gather(
      this.tails.map(async (tail) => await tail.headAfterNow()),
      { clock: this.#environment.clock, timeoutMs },
    );
  }

  /** Calls `listener` after news was published. Returns what unsubscribes. */
  onPublish(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** How many listeners there are: zero when no watcher is left. */
  get listenerCount(): number {
    return this.#listeners.size;
  }

  #pullAll(): void {
    for (const tail of this.tails) {
      tail.abandonSilentPull(this.#environment.options.maxStalenessMs);
      tail.request();
    }
    const { clock, options } = this.#environment;
    this.#pullTimer = clock.setTimer(options.pullIntervalMs, () => {
      this.#pullAll();
    });
  }

  #onNews(partition: number): void {
    this.#news.add(partition);
    if (this.#publishTimer !== undefined) {
      return;
    }
    const { clock, options } = this.#environment;
    const waitMs = this.#publishedAtMs + options.coalesceMs - clock.monotonicMs();
    if (waitMs <= 0) {
      this.#publish();
      return;
    }
    this.#publishTimer = clock.setTimer(waitMs, () => {
      this.#publishTimer = undefined;
      this.#publish();
    });
  }

  #publish(): void {
    this.#publishedAtMs = this.#environment.clock.monotonicMs();
    for (const partition of this.#news) {
      this.tails[partition]?.publish();
    }
    this.#news.clear();
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

/**
 * What has been answered by the time all have settled or `timeoutMs` is over,
 * by index. What fails or is late is missing.
 */
export async function gather<Value>(
  promises: readonly Promise<Value>[],
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<ReadonlyMap<number, Value>> {
  const answers = new Map<number, Value>();
  let missing = promises.length;
  if (missing === 0) {
    return answers;
  }
  await new Promise<void>((resolve) => {
    const timer = clock.setTimer(timeoutMs, resolve);
    for (const [index, promise] of promises.entries()) {
      promise
        .then((value) => {
          answers.set(index, value);
        })
        .catch(() => undefined)
        .finally(() => {
          missing -= 1;
          if (missing === 0) {
            timer.cancel();
            resolve();
          }
        });
    }
  });
  // A late answer must not change what the caller already works with.
  return new Map(answers);
}
