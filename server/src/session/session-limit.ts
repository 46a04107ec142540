import type { LimitAction } from "./policy.js";

/** What a session limit compares. */
export interface LimitCandidate {
  readonly sessionId: string;
  readonly createdAtMs: number;
  readonly lastSeenAtMs: number;
}

/** Which live sessions have to go so that one more fits, or that it may not be created. */
export type LimitDecision =
  | { readonly kind: "admit"; readonly evict: readonly string[] }
  | { readonly kind: "deny"; readonly liveSessions: number };

/**
 * Applies a subject's session limit before one more session is created. Only live
 * sessions count. Where the limit was lowered, as many go as it takes.
 *
 * @param live the subject's live sessions, oldest first.
 * @param max 0: no limit.
 */
export function applySessionLimit(
  live: readonly LimitCandidate[],
  { max, action }: { readonly max: number; readonly action: LimitAction },
): LimitDecision {
  const excess = live.length + 1 - max;
  if (max === 0 || excess <= 0) {
    return { kind: "admit", evict: [] };
  }
  switch (action) {
    case "deny":
      return { kind: "deny", liveSessions: live.length };
    case "evict-all":
      return { kind: "admit", evict: idsOf(live) };
    case "evict-oldest":
      return { kind: "admit", evict: idsOf(live.slice(0, excess)) };
    case "evict-least-recently-used": {
      // The sort is stable, so of two that were last used together the older goes.
      const byUse = live.toSorted((a, b) => a.lastSeenAtMs - b.lastSeenAtMs);
      return { kind: "admit", evict: idsOf(byUse.slice(0, excess)) };
    }
  }
}

function idsOf(candidates: readonly LimitCandidate[]): readonly string[] {
  return candidates.map(({ sessionId }) => sessionId);
}
