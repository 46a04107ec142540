import type { FillRefusal } from "./cache/verdict.js";

/** What a client has done since it was made. */
export interface ClientCounters {
  hits: number;
  misses: number;
  /** Denied from memory: the session is known to have ended. */
  deniedFromMemory: number;
  unavailable: number;
  staleAccepts: number;
  fillsRefused: Partial<Record<FillRefusal, number>>;
  discarded: Partial<Record<"too-old" | "behind" | "unusable", number>>;
  touchesReported: number;
  touchesDropped: number;
}

/** Nothing done yet. */
export function createCounters(): ClientCounters {
  return {
    hits: 0,
    misses: 0,
    deniedFromMemory: 0,
    unavailable: 0,
    staleAccepts: 0,
    fillsRefused: {},
    discarded: {},
    touchesReported: 0,
    touchesDropped: 0,
  };
}

/** Counts one more under a name. */
export function countOne<K extends string>(counts: Partial<Record<K, number>>, name: K): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
