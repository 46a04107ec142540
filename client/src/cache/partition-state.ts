import type { Instant } from "../base/instant.js";
import { compareRevisions, laterRevision, type Revision } from "../base/revision.js";

/** Permission to answer from memory: until `grantedMs` after the request that earned it was sent. */
export interface Lease {
  readonly sentAt: Instant;
  /** The staleness bound L at the time, or this client's own where that is less. */
  readonly grantedMs: number;
}

/**
 * What a cache knows of one partition of the log.
 *
 * - `applied`: every event up to here has been applied or was skipped by a reset.
 * - `lease`: up to when `applied` was known to be the whole truth.
 * - `resetFloor`: an entry computed below it may have missed events and cannot
 *   use the lease, only what is left of its own.
 * - `floor`: a reply computed below it is not kept. It is at least `resetFloor`,
 *   and rises when a tombstone, a mark or a cutoff is forgotten.
 * - `highestHead`: a head below it was read from somewhere that is behind.
 */
export class PartitionState {
  #applied: Revision | undefined;
  #lease: Lease | undefined;
  #resetFloor: Revision | undefined;
  #floor: Revision | undefined;
  #highestHead: Revision | undefined;

  get applied(): Revision | undefined {
    return this.#applied;
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  get floor(): Revision | undefined {
    return this.#floor;
  }

  /** Goes on to `through`, which follows `applied` without a hole in the same generation. */
  advance(through: Revision): void {
    this.#applied = through;
  }

  /**
   * Goes on at `at` although events in between may have been missed. O(1), and
   * no entry is dropped: those that are young enough stay usable by themselves,
   * the others are asked for one by one. Says whether it was a reset at all.
   */
  reset(at: Revision): boolean {
    if (this.#applied !== undefined && compareRevisions(at, this.#applied) <= 0) return false;
    this.#resetFloor = laterRevision(this.#resetFloor, at);
    this.#floor = laterRevision(this.#floor, at);
    this.#applied = at;
    this.#lease = undefined;
    return true;
  }

  /** From now on no reply below `at` is kept. Floors only rise. */
  raiseFloor(at: Revision): void {
    this.#floor = laterRevision(this.#floor, at);
  }

  /** Whether an entry computed at `asOf` is covered by every event since. */
  covers(asOf: Revision): boolean {
    return (
      this.#applied !== undefined &&
      asOf.generation === this.#applied.generation &&
      (this.#resetFloor === undefined || compareRevisions(asOf, this.#resetFloor) >= 0)
    );
  }

  /** Whether a head may prove anything: none that was seen before lies above it. */
  noteHead(head: Revision): boolean {
    if (this.#highestHead !== undefined && compareRevisions(head, this.#highestHead) < 0) {
      return false;
    }
    this.#highestHead = head;
    return true;
  }

  /** Whether everything up to `head` has been applied, on the same history. */
  hasReached(head: Revision): boolean {
    return (
      this.#applied?.generation === head.generation && compareRevisions(this.#applied, head) >= 0
    );
  }

  /** Takes a newer lease. The caller has established that it was earned. */
  renew(lease: Lease): void {
    this.#lease = lease;
  }
}
