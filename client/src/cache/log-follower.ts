import type { Reset, RevocationEvent, SyncReply, WatchMessage } from "../base/event.js";
import { ageMs, type Instant } from "../base/instant.js";
import {
  compareRevisions,
  PARTITION_COUNT,
  type Revision,
  type RevisionRange,
} from "../base/revision.js";
import { PartitionState } from "./partition-state.js";

/** Why a partition was reset. */
export type ResetCause = "first" | "gap" | "new-generation" | "too-old" | "history-forked";

/** What a message changed, for those who want to be told. */
export interface Changes {
  /** Events that said something new, in the order they were applied. */
  readonly events: RevocationEvent[];
  /** Partitions in which events may have been missed. */
  readonly resets: { readonly partition: number; readonly cause: ResetCause }[];
}

/** A Sync on its way. */
export interface SyncQuestion {
  /** The lease counts from here: the answer cannot be newer than its question. */
  readonly sentAt: Instant;
  /** What had been applied when it was sent, and what it asks to continue. */
  readonly position: readonly Revision[];
}

/** A Sync's answer as it arrived. */
export interface SyncReceipt {
  /** The bound it grants here, in ms. */
  readonly grantedMs: number;
  /** When it arrived. It may say that a lease is worthless already, never that it is young. */
  readonly now: Instant;
}

/** What a Sync did. */
export interface SyncResult {
  readonly changes: Changes;
  /** Partitions whose lease it renewed. */
  readonly renewed: number;
  /** Whether the answer held less than the authority has: ask again at once. */
  readonly hasMore: boolean;
}

/** No changes yet. */
export function noChanges(): Changes {
  return { events: [], resets: [] };
}

/**
 * Follows the log of each partition, from whatever brings pieces of it, in any
 * order, doubled or with holes.
 */
export class LogFollower {
  readonly partitions: readonly PartitionState[] = Array.from(
    { length: PARTITION_COUNT },
    () => new PartitionState(),
  );
  readonly #applyEvent: (event: RevocationEvent) => boolean;

  /** `applyEvent` gets each event once and in order, and says whether it was news. */
  constructor(applyEvent: (event: RevocationEvent) => boolean) {
    this.#applyEvent = applyEvent;
  }

  /** The state of a partition. Partitions are checked where they are decoded. */
  partition(index: number): PartitionState {
    const state = this.partitions[index];
    if (state === undefined) throw new RangeError(`There is no partition ${index}: 0 to 15`);
    return state;
  }

  /** What has been applied, at most one revision for a partition. */
  position(): readonly Revision[] {
    return this.partitions.flatMap((state) => state.applied ?? []);
  }

  /** Applies a message of the stream. It moves positions and renews no lease. */
  applyMessage(message: WatchMessage): Changes {
    const changes = noChanges();
    switch (message.kind) {
      case "opened":
        this.#resetAll({ at: message.position, reason: "unspecified" }, changes);
        break;
      case "batch":
        this.#applyRanges(message.ranges, message.events, changes);
        break;
      case "progress":
        this.#applyRanges(message.ranges, [], changes);
        break;
      case "reset":
        this.#resetAll(message.reset, changes);
        break;
      case "goaway":
        break;
    }
    return changes;
  }

  /** Starts a Sync: its lease counts from `now`. */
  ask(now: Instant): SyncQuestion {
    return { sentAt: now, position: this.position() };
  }

  /** Applies what a Sync returned, then renews the leases that its heads prove. */
  applySync(question: SyncQuestion, reply: SyncReply, receipt: SyncReceipt): SyncResult {
    const { grantedMs, now } = receipt;
    const changes = noChanges();
    for (const reset of reply.resets) this.#resetAll(reset, changes);
    this.#applyRanges(reply.ranges, reply.events, changes);
    let renewed = 0;
    let hasMore = false;
    for (const head of reply.heads) {
      const state = this.partition(head.partition);
      this.#followGeneration(state, head, changes);
      const proves = state.noteHead(head) && isNotBefore(head, question.position);
      if (proves && state.hasReached(head)) {
        this.#renew(state, { sentAt: question.sentAt, grantedMs });
        if (ageMs(question.sentAt, now) <= grantedMs) renewed += 1;
      } else if (proves) {
        hasMore = true;
      }
    }
    return { changes, renewed, hasMore };
  }

  /** Whether every partition's lease holds at `now`. */
  isFresh(now: Instant): boolean {
    return this.partitions.every(({ lease }) => {
      return lease !== undefined && ageMs(lease.sentAt, now) <= lease.grantedMs;
    });
  }

  #renew(state: PartitionState, lease: { sentAt: Instant; grantedMs: number }): void {
    if (state.lease === undefined || lease.sentAt.monotonicMs >= state.lease.sentAt.monotonicMs) {
      state.renew(lease);
    }
  }

  /** A head on a history that nothing led to, and a head before the first position, are resets. */
  #followGeneration(state: PartitionState, head: Revision, changes: Changes): void {
    const { applied } = state;
    if (applied !== undefined && head.generation <= applied.generation) return;
    if (state.reset(head)) {
      const cause = applied === undefined ? "first" : "new-generation";
      changes.resets.push({ partition: head.partition, cause });
    }
  }

  #resetAll(reset: Reset, changes: Changes): void {
    for (const at of reset.at) {
      const state = this.partition(at.partition);
      const cause = resetCause(reset, state.applied, at);
      if (state.reset(at)) changes.resets.push({ partition: at.partition, cause });
    }
  }

  #applyRanges(
    ranges: readonly RevisionRange[],
    events: readonly RevocationEvent[],
    changes: Changes,
  ): void {
    for (const range of ranges) {
      const { partition } = range.through;
      const own = events.filter((event) => event.revision.partition === partition);
      this.#applyRange(range, own, changes);
    }
  }

  #applyRange(range: RevisionRange, events: readonly RevocationEvent[], changes: Changes): void {
    const state = this.partition(range.through.partition);
    const { applied } = state;
    if (applied !== undefined && compareRevisions(range.through, applied) <= 0) return;
    // Behind a hole the events are no less true. Applying them is denying sooner.
    for (const event of events) {
      const isNew = applied === undefined || compareRevisions(event.revision, applied) > 0;
      if (isNew && contains(range, event.revision) && this.#applyEvent(event)) {
        changes.events.push(event);
      }
    }
    const isGapless = applied !== undefined && compareRevisions(range.fromExclusive, applied) <= 0;
    if (isGapless && range.through.generation === applied.generation) {
      state.advance(range.through);
      return;
    }
    const cause = applied === undefined ? "first" : isGapless ? "new-generation" : "gap";
    if (state.reset(range.through)) {
      changes.resets.push({ partition: range.through.partition, cause });
    }
  }
}

function contains(range: RevisionRange, revision: Revision): boolean {
  return (
    compareRevisions(revision, range.fromExclusive) > 0 &&
    compareRevisions(revision, range.through) <= 0
  );
}

/** A head below what had been applied when it was asked for was read from somewhere behind. */
function isNotBefore(head: Revision, position: readonly Revision[]): boolean {
  const known = position.find((revision) => revision.partition === head.partition);
  return known === undefined || compareRevisions(head, known) >= 0;
}

function resetCause(reset: Reset, applied: Revision | undefined, at: Revision): ResetCause {
  if (reset.reason !== "unspecified") return reset.reason;
  if (applied === undefined) return "first";
  return at.generation === applied.generation ? "gap" : "new-generation";
}
