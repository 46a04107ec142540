import type { Clock } from "../base/clock.js";
import { compareRevisions, laterRevision, type Revision } from "../session/revision.js";
import { StoreUnavailableError } from "../store/store-error.js";
import { entriesAfter } from "./event-frame.js";
import type { RingEntry } from "./event-ring.js";
import type { PartitionTail } from "./partition-tail.js";
import { gather, type RevocationHub } from "./revocation-hub.js";
import type { TenantFilter } from "./tenant-filter.js";
import type { EventRange, ResetReason } from "./watch-codec.js";
import { SYNC_EVENTS_MAX } from "./watch-options.js";

/*
 * The answer to one Sync. It renews a lease, so it has to be right where the
 * watch only has to be fast: every head in it was read by a pull that started
 * after the request arrived, and the ranges say exactly how far the events
 * reach. A partition that cannot be read is left out, and its lease lapses
 * alone; so is one where the caller is ahead of this replica, which proves
 * nothing either way.
 */

// Pages of 256 events read for one partition of one Sync: as many events as an answer takes.
const SYNC_PAGES_MAX = 4;
// Events of the ring looked at for one Sync: all of it, whatever its capacity.
const SYNC_SCAN_MAX = Number.MAX_SAFE_INTEGER;

/** What the caller has. The position has been validated. */
export interface SyncRequest {
  readonly position: ReadonlyMap<number, Revision>;
  readonly filter: TenantFilter;
}

/** What a Sync is computed from. */
export interface SyncEnvironment {
  readonly hub: RevocationHub;
  readonly clock: Clock;
  /** The staleness bound L in ms: a partition may take a sixth of it. */
  readonly maxStalenessMs: number;
}

/** What the caller lacks. */
export interface SyncAnswer {
  readonly ranges: readonly EventRange[];
  /** The events as `WatchCodec.encodeEvent` made them. */
  readonly events: readonly Uint8Array[];
  readonly heads: readonly Revision[];
  readonly resets: ReadonlyMap<ResetReason, readonly Revision[]>;
}

interface PartitionAnswer {
  readonly head: Revision;
  readonly from: Revision;
  readonly through: Revision;
  /** What the caller may see of the stretch, not yet cut to its share. */
  readonly entries: readonly RingEntry[];
  readonly reset: ResetReason | undefined;
}

/**
 * Answers one Sync. Rejects with `StoreUnavailableError` where no partition
 * answers in time.
 */
export async function answerSync(
  { hub, clock, maxStalenessMs }: SyncEnvironment,
  request: SyncRequest,
): Promise<SyncAnswer> {
  const answers = await gather(
    hub.tails.map(async (tail) => await answerPartition(tail, request)),
    { clock, timeoutMs: maxStalenessMs / 6 },
  );
  if (answers.size === 0) {
    throw new StoreUnavailableError("Cannot answer a sync: no partition answers", "no");
  }
  // In the order of partitions, whichever came first: an answer should read the same each time.
  const inOrder = hub.tails.map((_, index) => answers.get(index));
  const answer = compose(inOrder.filter((each) => each !== undefined));
  for (const [reason, at] of answer.resets) {
    hub.counters.resets[reason] += at.length;
  }
  return answer;
}

async function answerPartition(
  tail: PartitionTail,
  { position, filter }: SyncRequest,
): Promise<PartitionAnswer | undefined> {
  const head = await tail.headAfterNow();
  const from = position.get(tail.partition);
  if (from === undefined) {
    return { head, from: head, through: head, entries: [], reset: undefined };
  }
  if (compareRevisions(from, head) > 0) {
    return undefined;
  }
  const caught = await readBacklog(tail, from);
  if (caught.reset !== undefined) {
    const { reason } = caught.reset;
    // A read that is shared may have begun before this request arrived: its head proves nothing.
    const at = laterRevision(head, caught.reset.at);
    return { head: at, from: at, through: at, entries: [], reset: reason };
  }
  const { ring } = tail;
  const isInRing = ring?.locate(caught.through) === "inside";
  const newest = isInRing ? ring.slice(caught.through, ring.head, SYNC_SCAN_MAX) : [];
  const through = newest.at(-1)?.revision ?? caught.through;
  return {
    // The ring may have grown since the pull; what it has, the log has.
    head: laterRevision(head, through),
    from,
    through,
    entries: [...caught.entries, ...newest].filter((entry) => filter.admits(entry)),
    reset: undefined,
  };
}

interface Backlog {
  readonly through: Revision;
  readonly entries: readonly RingEntry[];
  readonly reset: { readonly at: Revision; readonly reason: ResetReason } | undefined;
}

/** Reads pages of the log until the ring goes on from there, or enough was read. */
async function readBacklog(tail: PartitionTail, from: Revision): Promise<Backlog> {
  const entries: RingEntry[] = [];
  let through = from;
  for (let pages = 0; pages < SYNC_PAGES_MAX; pages += 1) {
    if (tail.ring?.locate(through) !== "before") {
      break;
    }
    const page = await tail.readLog(through);
    if (page.verdict !== "continue") {
      return { through, entries, reset: { at: page.head, reason: page.verdict } };
    }
    entries.push(...(entriesAfter(page, through) ?? []));
    through = page.through;
  }
  return { through, entries, reset: undefined };
}

function compose(answers: readonly PartitionAnswer[]): SyncAnswer {
  const ranges: EventRange[] = [];
  const events: Uint8Array[] = [];
  const heads: Revision[] = [];
  const resets = new Map<ResetReason, Revision[]>();
  // The partitions with the fewest events first: what they leave over goes to the others.
  const byNeed = answers.toSorted((a, b) => a.entries.length - b.entries.length);
  for (const [index, answer] of byNeed.entries()) {
    const share = Math.floor((SYNC_EVENTS_MAX - events.length) / (byNeed.length - index));
    const entries = answer.entries.slice(0, share);
    for (const { bytes } of entries) {
      events.push(bytes);
    }
    heads.push(answer.head);
    ranges.push({ fromExclusive: answer.from, through: cutThrough(answer, entries) });
    if (answer.reset !== undefined) {
      resets.set(answer.reset, [...(resets.get(answer.reset) ?? []), answer.head]);
    }
  }
  return { ranges, events, heads, resets };
}

function cutThrough(answer: PartitionAnswer, entries: readonly RingEntry[]): Revision {
  return entries.length === answer.entries.length
    ? answer.through
    : (entries.at(-1)?.revision ?? answer.from);
}
