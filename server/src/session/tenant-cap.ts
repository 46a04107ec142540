import { PARTITION_COUNT } from "./partition.js";

/**
 * How many sessions of a tenant one partition takes, for a cap on all of them.
 *
 * A partition knows nothing of the others, so each takes a sixteenth, rounded up.
 * Subjects are spread by their hash: a tenant of many subjects gets within a few
 * percent of its cap before the first refusal, one of a few subjects less. The
 * bound that always holds is the cap rounded up to the next multiple of sixteen.
 */
export function partitionShare(tenantSessionsMax: number): number {
  return Math.ceil(tenantSessionsMax / PARTITION_COUNT);
}
