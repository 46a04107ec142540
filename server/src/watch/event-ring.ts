import { compareRevisions, type Revision } from "../session/revision.js";

/** An event as it waits for its receivers: encoded, with what filters look at. */
export interface RingEntry {
  readonly revision: Revision;
  /** Undefined where the event concerns every tenant. */
  readonly tenantId: string | undefined;
  /** The event as `WatchCodec.encodeEvent` made it. */
  readonly bytes: Uint8Array;
}

/**
 * Where a revision lies in relation to a ring.
 *
 * - `before`: events after it have left the ring, or it is of an older generation.
 * - `inside`: every event after it is in the ring.
 * - `current`: it is the head.
 * - `after`: it is ahead of the head.
 */
export type RingPlace = "before" | "inside" | "current" | "after";

/**
 * The newest events of one partition, all of one generation and without a hole.
 * Adding to a full ring drops the oldest.
 */
export class EventRing {
  readonly #slots: (RingEntry | undefined)[];
  #start: Revision;
  #head: Revision;

  constructor(capacity: number, at: Revision) {
    this.#slots = new Array<RingEntry | undefined>(capacity).fill(undefined);
    this.#start = at;
    this.#head = at;
  }

  /** Every event after this revision, up to the head, is in the ring. */
  get start(): Revision {
    return this.#start;
  }

  /** The newest event, or where the ring started if there was none. */
  get head(): Revision {
    return this.#head;
  }

  /** Events in it. */
  get size(): number {
    return this.#head.sequence - this.#start.sequence;
  }

  /** Whether `revision` is the one right after the head. */
  continues(revision: Revision): boolean {
    return (
      revision.generation === this.#head.generation && revision.sequence === this.#head.sequence + 1
    );
  }

  /** Adds the event right after the head. */
  append(entry: RingEntry): void {
    if (!this.continues(entry.revision)) {
      throw new Error(
        `Cannot append sequence ${entry.revision.sequence} to the ring of partition ${this.#head.partition}: its head is ${this.#head.sequence}`,
      );
    }
    this.#slots[entry.revision.sequence % this.#slots.length] = entry;
    this.#head = entry.revision;
    const oldest = this.#head.sequence - this.#slots.length;
    if (oldest > this.#start.sequence) {
      this.#start = { ...this.#start, sequence: oldest };
    }
  }

  /** Forgets everything and goes on at `at`. */
  restart(at: Revision): void {
    this.#slots.fill(undefined);
    this.#start = at;
    this.#head = at;
  }

  /** Where `revision` lies. */
  locate(revision: Revision): RingPlace {
    const order = compareRevisions(revision, this.#head);
    if (order >= 0) {
      return order === 0 ? "current" : "after";
    }
    return compareRevisions(revision, this.#start) < 0 ? "before" : "inside";
  }

  /** At most `limit` events after `from`, which is inside the ring, up to `through`. */
  slice(from: Revision, through: Revision, limit: number): RingEntry[] {
    const last = Math.min(from.sequence + limit, through.sequence, this.#head.sequence);
    const entries: RingEntry[] = [];
    for (let sequence = from.sequence + 1; sequence <= last; sequence += 1) {
      const entry = this.#slots[sequence % this.#slots.length];
      if (entry !== undefined) {
        entries.push(entry);
      }
    }
    return entries;
  }
}
