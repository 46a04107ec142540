import { ageMs, type Instant } from "./base/instant.js";
import type { Revision } from "./base/revision.js";
import type { ValidationCache } from "./cache/validation-cache.js";
import type { ClientCounters } from "./counters.js";
import { partitionFreshness, type Freshness } from "./freshness/freshness.js";
import type { RevocationWatch } from "./freshness/revocation-watch.js";

/** What a client knows of itself, for health pages and tests. */
export interface ClientStatus {
  readonly state: Freshness;
  /** The staleness bound as it is known now, in ms. */
  readonly maxStalenessMs: number;
  /** Empty until the authority has answered. */
  readonly deploymentId: string;
  readonly isStreaming: boolean;
  /** How long ago the authority was last heard of, in ms. It proves nothing. */
  readonly silentForMs: number | undefined;
  readonly entries: number;
  readonly tombstones: number;
  readonly inFlight: number;
  readonly followers: number;
  readonly partitions: readonly PartitionStatus[];
  readonly counters: StatusCounters;
}

/** One partition of the log. */
export interface PartitionStatus {
  readonly partition: number;
  readonly state: Freshness;
  readonly applied: Revision | undefined;
  /** How old the lease is, in ms; undefined where there is none, infinite after a clock step. */
  readonly leaseAgeMs: number | undefined;
}

/** What happened how often since the client was made. */
export interface StatusCounters extends Readonly<Omit<ClientCounters, never>> {
  readonly syncs: number;
  readonly syncFailures: number;
  readonly streamsOpened: number;
  readonly streamsEnded: number;
  readonly resets: Readonly<Record<string, number>>;
  /** Revocations that arrived after the session had been accepted from memory (S-14). */
  readonly lateAccepts: number;
  /** The longest time between the two, in ms, by wall clocks. */
  readonly lateAcceptAgeMaxMs: number;
}

/** What a status is read from. */
export interface StatusParts {
  readonly cache: ValidationCache;
  readonly watch: RevocationWatch;
  readonly counters: ClientCounters;
  readonly inFlight: number;
  readonly followers: number;
}

/** The status at `now`. A copy: it does not change any more. */
export function readStatus(parts: StatusParts, now: Instant): ClientStatus {
  const { cache, watch, counters } = parts;
  const { lastHeardAt, lateAccepts } = cache;
  return {
    state: watch.state(),
    maxStalenessMs: watch.boundMs,
    deploymentId: watch.deploymentId,
    isStreaming: watch.isStreaming,
    silentForMs: lastHeardAt && ageMs(lastHeardAt, now),
    entries: cache.size,
    tombstones: cache.tombstoneCount,
    inFlight: parts.inFlight,
    followers: parts.followers,
    partitions: cache.partitions.map((state, partition) => ({
      partition,
      state: partitionFreshness(state, now),
      applied: state.applied,
      leaseAgeMs: state.lease && ageMs(state.lease.sentAt, now),
    })),
    counters: {
      ...counters,
      fillsRefused: { ...counters.fillsRefused },
      discarded: { ...counters.discarded },
      ...watch.counters,
      resets: { ...watch.counters.resets },
      lateAccepts: lateAccepts.count,
      lateAcceptAgeMaxMs: lateAccepts.ageMaxMs,
    },
  };
}
