import type { Clock } from "../base/clock.js";
import { PARTITION_COUNT } from "../session/partition.js";
import type { Revision } from "../session/revision.js";
import { StoreUnavailableError } from "../store/store-error.js";
import { Alarm } from "./alarm.js";
import type { PartitionTail } from "./partition-tail.js";
import type { RevocationHub } from "./revocation-hub.js";
import type { EventRange, ResetReason, WatchCodec } from "./watch-codec.js";
import type { WatchOptions } from "./watch-options.js";
import type { WatchSink } from "./watch-sink.js";
import type { CloseCause, WatcherIdentity, WatcherState, WatchStart } from "./watcher-state.js";

/*
 * One subscriber of the log.
 *
 * The obvious way is a queue for each watcher, filled as events commit. A queue
 * must be bounded, and then a full one has to drop events or end the stream,
 * and a thousand clients that stopped reading hold a thousand queues. Here a
 * watcher is a cursor for each partition and nothing else. It takes the next
 * message from what all watchers share, hands it to the transport, and moves
 * its cursor when the transport has taken it. There is at most one message
 * under way, so a client that does not read costs a few hundred bytes and one
 * message (I16), and after L without progress it is cut.
 *
 * Two places are kept for each partition. `scanned` is how far the log was
 * looked at for this watcher; `announced` is what it has been told. They differ
 * where events were filtered out: the next message, or the next Progress, has a
 * range that covers them. Ranges of one partition therefore join without a hole
 * (I6), revisions only grow (I5), and what lies before `announced` is never sent
 * again (I7).
 *
 * A cursor that has left the ring is read from the log, where the resume table
 * decides whether it goes on or is reset. Such reads never make the other
 * partitions wait: a frozen one lapses alone (FAULTS row 17).
 */

/** What every watcher of a replica shares. */
export interface WatcherEnvironment {
  readonly hub: RevocationHub;
  readonly clock: Clock;
  readonly codec: WatchCodec;
  readonly options: WatchOptions;
}

type PartitionCursor =
  | {
      readonly kind: "absent";
      /** Where it wants to join; undefined: wherever the tail is. */
      readonly named: Revision | undefined;
      readonly aheadSinceMs: number | undefined;
    }
  | { readonly kind: "following"; readonly announced: Revision; readonly scanned: Revision };

interface Step {
  readonly message: Uint8Array;
  readonly commit: () => void;
}

// After a read of the log failed. As long as the timer of the tail: sooner is no use.
const READ_RETRY_MS = 100;

/** The server's side of one stream. */
export class Watcher {
  readonly identity: WatcherIdentity;
  readonly #environment: WatcherEnvironment;
  readonly #start: WatchStart;
  readonly #sink: WatchSink;
  readonly #cursors: PartitionCursor[];
  readonly #reading = new Set<number>();
  readonly #retryAtMs = new Map<number, number>();
  readonly #resets = new Map<number, { readonly at: Revision; readonly reason: ResetReason }>();
  #nextPartition = 0;
  #progressAtMs = Infinity;
  #ageAtMs: number;
  #endsAtMs = Infinity;
  #goawayWithinMs: number | undefined;
  #writingSinceMs: number | undefined;
  #closed: CloseCause | undefined;
  #resume: (() => void) | undefined;
  readonly #alarm: Alarm;

  /** @param ageShare 0 to 1: how much of the tenth that ages may differ by is taken off. */
  constructor(
    environment: WatcherEnvironment,
    start: WatchStart & { readonly ageShare: number },
    sink: WatchSink,
  ) {
    this.identity = start.identity;
    this.#environment = environment;
    this.#start = start;
    this.#sink = sink;
    this.#alarm = new Alarm(environment.clock, () => {
      this.#onAlarm();
    });
    this.#ageAtMs = this.#nowMs() + environment.options.watchAgeMaxMs * (1 - start.ageShare / 10);
    this.#cursors = Array.from({ length: PARTITION_COUNT }, (_, partition) => ({
      kind: "absent",
      named: start.position.get(partition),
      aheadSinceMs: undefined,
    }));
  }

  /** How far it is. */
  get state(): WatcherState {
    if (this.#closed !== undefined) {
      return { state: "closed", cause: this.#closed };
    }
    if (this.#writingSinceMs !== undefined) {
      return { state: "lagging", sinceMs: this.#writingSinceMs };
    }
    return { state: this.#reading.size > 0 ? "catching-up" : "live" };
  }

  /** What the client has been told, for each partition it follows. */
  get position(): readonly Revision[] {
    return this.#cursors.flatMap((cursor) =>
      cursor.kind === "following" ? [cursor.announced] : [],
    );
  }

  /**
   * Serves the stream until it ends, and says why it did. Rejects with
   * `StoreUnavailableError` where no partition could be read at the start.
   */
  async run(): Promise<CloseCause> {
    const { hub, options } = this.#environment;
    const unsubscribe = hub.onPublish(() => {
      this.#wake();
    });
    try {
      const heads = await hub.headsAfterNow(options.maxStalenessMs / 6);
      if (heads.size === 0) {
        throw new StoreUnavailableError("Cannot open a watch: no partition answers", "no");
      }
      this.#place(heads);
      return await this.#follow();
    } finally {
      this.close("ended");
      unsubscribe();
    }
  }

  /** Tells the client to reconnect within `withinMs`, and ends the stream after that. */
  goaway(withinMs: number): void {
    const endsAtMs = this.#nowMs() + withinMs;
    if (this.#closed !== undefined || endsAtMs >= this.#endsAtMs) {
      return;
    }
    this.#endsAtMs = endsAtMs;
    this.#ageAtMs = Infinity;
    this.#goawayWithinMs = withinMs;
    this.#arm();
    this.#wake();
  }

  /** Ends the stream. Only the first cause counts. */
  close(cause: CloseCause): void {
    if (this.#closed !== undefined) {
      return;
    }
    this.#closed = cause;
    this.#alarm.cancel();
    this.#sink.release();
    this.#wake();
  }

  #nowMs(): number {
    return this.#environment.clock.monotonicMs();
  }

  #place(heads: ReadonlyMap<number, Revision>): void {
    for (const partition of heads.keys()) {
      this.#join(partition);
    }
    this.#progressAtMs = this.#nowMs() + this.#progressIntervalMs();
  }

  // A quarter of L, so that Progress comes at least every L/3 however late a timer runs.
  #progressIntervalMs(): number {
    return this.#environment.options.maxStalenessMs / 4;
  }

  #tail(partition: number): PartitionTail | undefined {
    return this.#environment.hub.tails[partition];
  }

  /** Starts following a partition where its tail has reached the named position. */
  #join(partition: number): void {
    const cursor = this.#cursors[partition];
    const ring = this.#tail(partition)?.ring;
    if (cursor?.kind !== "absent" || ring === undefined) {
      return;
    }
    const at = cursor.named ?? ring.head;
    if (ring.locate(at) === "after") {
      this.#cursors[partition] = { ...cursor, aheadSinceMs: cursor.aheadSinceMs ?? this.#nowMs() };
      return;
    }
    this.#cursors[partition] = { kind: "following", announced: at, scanned: at };
    // Opened is out already where this happens later; then Progress tells.
    this.#progressAtMs = Math.min(this.#progressAtMs, this.#nowMs());
  }

  async #follow(): Promise<CloseCause> {
    const { codec, options } = this.#environment;
    await this.#write(
      codec.opened({
        position: this.position,
        deploymentId: this.#start.deploymentId,
        maxStalenessMs: options.maxStalenessMs,
      }),
    );
    while (this.#closed === undefined) {
      const step = this.#nextStep();
      if (step === undefined) {
        this.#arm();
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
      } else if (await this.#write(step.message)) {
        step.commit();
      }
    }
    return this.#closed;
  }

  async #write(message: Uint8Array): Promise<boolean> {
    if (this.#closed !== undefined) {
      return false;
    }
    this.#writingSinceMs = this.#nowMs();
    this.#arm();
    const isWritten = await this.#sink.write(message);
    this.#writingSinceMs = undefined;
    if (!isWritten) {
      this.close("ended");
    }
    return isWritten;
  }

  #wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  /** What to say next. A reset goes before anything else that speaks of its partition. */
  #nextStep(): Step | undefined {
    return (
      this.#goawayStep() ?? this.#resetStep() ?? this.#progressStep() ?? this.#partitionsStep()
    );
  }

  #goawayStep(): Step | undefined {
    // A stream may open late on an old connection, so its own age says nothing of that. Asked
    // before every message, and so at least with every Progress.
    if (this.#sink.isRetiring) {
      this.goaway(this.#environment.options.reconnectWithinMs);
    }
    if (this.#goawayWithinMs === undefined) {
      return undefined;
    }
    return {
      message: this.#environment.codec.goaway(this.#goawayWithinMs),
      commit: () => {
        this.#goawayWithinMs = undefined;
      },
    };
  }

  #resetStep(): Step | undefined {
    const [first] = this.#resets.values();
    if (first === undefined) {
      return undefined;
    }
    const { reason } = first;
    const told = [...this.#resets].filter(([, reset]) => reset.reason === reason);
    return {
      message: this.#environment.codec.reset({ at: told.map(([, { at }]) => at), reason }),
      commit: () => {
        for (const [partition] of told) {
          this.#resets.delete(partition);
        }
      },
    };
  }

  #progressStep(): Step | undefined {
    if (this.#nowMs() < this.#progressAtMs) {
      return undefined;
    }
    const ranges: EventRange[] = this.#cursors.flatMap((cursor) =>
      cursor.kind === "following"
        ? [{ fromExclusive: cursor.announced, through: cursor.scanned }]
        : [],
    );
    return {
      message: this.#environment.codec.progress(ranges),
      commit: () => {
        for (const { through } of ranges) {
          this.#cursors[through.partition] = {
            kind: "following",
            announced: through,
            scanned: through,
          };
        }
        this.#progressAtMs = this.#nowMs() + this.#progressIntervalMs();
      },
    };
  }

  #partitionsStep(): Step | undefined {
    for (let turn = 0; turn < PARTITION_COUNT; turn += 1) {
      const partition = (this.#nextPartition + turn) % PARTITION_COUNT;
      const step = this.#partitionStep(partition);
      if (step !== undefined) {
        this.#nextPartition = (partition + 1) % PARTITION_COUNT;
        return step;
      }
    }
    // Found on the way; nothing has been said of these partitions since.
    return this.#resetStep() ?? this.#progressStep();
  }

  #partitionStep(partition: number): Step | undefined {
    this.#join(partition);
    for (;;) {
      const cursor = this.#cursors[partition];
      const tail = this.#tail(partition);
      if (cursor?.kind !== "following" || tail === undefined || this.#reading.has(partition)) {
        return undefined;
      }
      const answer = tail.frame({ ...cursor, filter: this.#start.filter });
      switch (answer.kind) {
        case "idle":
          return undefined;
        case "unread":
          this.#read(tail, cursor.scanned);
          return undefined;
        case "reset":
          this.#resets.set(partition, answer);
          this.#environment.hub.counters.resets[answer.reason] += 1;
          this.#moveTo(answer.at, answer.at);
          return undefined;
        case "frame": {
          const { bytes, through } = answer.frame;
          if (bytes !== undefined) {
            return {
              message: bytes,
              commit: () => {
                this.#moveTo(through, through);
              },
            };
          }
          this.#moveTo(cursor.announced, through);
        }
      }
    }
  }

  #moveTo(announced: Revision, scanned: Revision): void {
    this.#cursors[scanned.partition] = { kind: "following", announced, scanned };
  }

  #read(tail: PartitionTail, from: Revision): void {
    if (this.#retryAtMs.has(tail.partition)) {
      return;
    }
    this.#reading.add(tail.partition);
    tail
      .readLog(from)
      .catch(() => {
        // The store is away or behind. Neither is the client's doing: try again.
        this.#retryAtMs.set(tail.partition, this.#nowMs() + READ_RETRY_MS);
      })
      .finally(() => {
        this.#reading.delete(tail.partition);
        this.#wake();
      });
  }

  /** Makes sure to wake up when the next thing is due. */
  #arm(): void {
    if (this.#closed === undefined) {
      this.#alarm.set(this.#dueAtMs());
    }
  }

  #dueAtMs(): number {
    const { maxStalenessMs } = this.#environment.options;
    const always = [this.#ageAtMs, this.#endsAtMs, this.#aheadSinceMs() + maxStalenessMs];
    return this.#writingSinceMs === undefined
      ? Math.min(...always, this.#progressAtMs, ...this.#retryAtMs.values())
      : Math.min(...always, this.#writingSinceMs + maxStalenessMs);
  }

  #aheadSinceMs(): number {
    return Math.min(
      ...this.#cursors.map((cursor) =>
        cursor.kind === "absent" ? (cursor.aheadSinceMs ?? Infinity) : Infinity,
      ),
    );
  }

  #onAlarm(): void {
    const nowMs = this.#nowMs();
    const { maxStalenessMs, reconnectWithinMs } = this.#environment.options;
    if (this.#endsAtMs <= nowMs) {
      this.close("drained");
    } else if ((this.#writingSinceMs ?? Infinity) + maxStalenessMs <= nowMs) {
      this.close("too-slow");
    } else if (this.#aheadSinceMs() + maxStalenessMs <= nowMs) {
      this.close("behind");
    } else if (this.#ageAtMs <= nowMs) {
      this.goaway(reconnectWithinMs);
    }
    // Also where nothing is left to read: an instant that has passed must not set the alarm again.
    for (const [partition, retryAtMs] of this.#retryAtMs) {
      if (retryAtMs <= nowMs) {
        this.#retryAtMs.delete(partition);
      }
    }
    this.#arm();
    this.#wake();
  }
}
