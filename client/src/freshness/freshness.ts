import { ageMs, type Instant } from "../base/instant.js";
import type { PartitionState } from "../cache/partition-state.js";
import type { ValidationCache } from "../cache/validation-cache.js";

/**
 * How far memory may be trusted.
 *
 * - `fresh`: the lease holds. Answers come from memory where it has them.
 * - `jeopardy`: the lease lapsed. Revocations may have been missed, so memory
 *   answers only with what was asked less than L ago, and the authority is asked
 *   for the rest. Entries are kept: a gapless resume makes them usable again.
 * - `cold`: no position is known. Nothing is kept at all.
 */
export type Freshness = "fresh" | "jeopardy" | "cold";

/** The state of one partition at `now`. */
export function partitionFreshness(state: PartitionState, now: Instant): Freshness {
  if (state.applied === undefined) return "cold";
  const { lease } = state;
  if (lease === undefined) return "jeopardy";
  return ageMs(lease.sentAt, now) <= lease.grantedMs ? "fresh" : "jeopardy";
}

/** The state of the whole: fresh where every partition is, cold where every one is. */
export function cacheFreshness(cache: ValidationCache, now: Instant): Freshness {
  if (cache.isFresh(now)) return "fresh";
  return cache.partitions.every((state) => state.applied === undefined) ? "cold" : "jeopardy";
}
