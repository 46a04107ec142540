/*
 * The tokens a session has had, as digests: the current one, the previous one
 * while its grace lasts, and the last few whose validity has ended, each with the
 * instant it ended.
 *
 * The retired ones are what tells a slow request of an innocent user (answered
 * "rotated") from a stranger's guess (answered "not found", and changing nothing:
 * an id alone can hurt nobody), and a double click from a stolen token that is
 * used long after its owner moved on. Four are enough for a session that rotates
 * several times within the lifetime of one slow request; more would only make
 * every record larger.
 */

/** How many tokens are remembered after their validity ended. */
export const RETIRED_TOKENS_MAX = 4;

/** A token whose validity has ended. */
export interface RetiredToken {
  readonly digest: string;
  readonly endedAtMs: number;
}

/** The tokens of one session, as lower-case hex digests. */
export interface TokenSlots {
  readonly current: string;
  /** Valid before `graceEndsAtMs`; from then on it counts as retired. */
  readonly previous: { readonly digest: string; readonly graceEndsAtMs: number } | undefined;
  /** Oldest first, at most `RETIRED_TOKENS_MAX`. */
  readonly retired: readonly RetiredToken[];
}

/**
 * Which token of a session was presented.
 *
 * - `current`: the one to use.
 * - `previous`: replaced by a PERIODIC rotation, valid for `graceLeftMs` more.
 * - `retired`: its validity ended at `endedAtMs`.
 * - `unknown`: not of this session, or forgotten.
 */
export type TokenStanding =
  | { readonly kind: "current" }
  | { readonly kind: "previous"; readonly graceLeftMs: number }
  | { readonly kind: "retired"; readonly endedAtMs: number }
  | { readonly kind: "unknown" };

/** Finds a presented digest among a session's tokens. */
export function findToken(slots: TokenSlots, digest: string, nowMs: number): TokenStanding {
  if (digest === slots.current) {
    return { kind: "current" };
  }
  if (digest === slots.previous?.digest) {
    const { graceEndsAtMs } = slots.previous;
    return nowMs < graceEndsAtMs
      ? { kind: "previous", graceLeftMs: graceEndsAtMs - nowMs }
      : { kind: "retired", endedAtMs: graceEndsAtMs };
  }
  const retired = slots.retired.findLast((token) => token.digest === digest);
  return retired === undefined
    ? { kind: "unknown" }
    : { kind: "retired", endedAtMs: retired.endedAtMs };
}

/** Installs a successor and lets the current token live on for `graceMs`. */
export function succeedWithGrace(
  slots: TokenSlots,
  successor: string,
  { nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number },
): TokenSlots {
  return {
    current: successor,
    previous: { digest: slots.current, graceEndsAtMs: nowMs + graceMs },
    retired: retire(slots, retirePrevious(slots, nowMs)),
  };
}

/** Installs a successor and ends the current token and any in grace at once. */
export function succeedAtOnce(slots: TokenSlots, successor: string, nowMs: number): TokenSlots {
  const current = { digest: slots.current, endedAtMs: nowMs };
  return {
    current: successor,
    previous: undefined,
    retired: retire(slots, [...retirePrevious(slots, nowMs), current]),
  };
}

function retirePrevious({ previous }: TokenSlots, nowMs: number): readonly RetiredToken[] {
  return previous === undefined
    ? []
    : [{ digest: previous.digest, endedAtMs: Math.min(previous.graceEndsAtMs, nowMs) }];
}

function retire(slots: TokenSlots, ended: readonly RetiredToken[]): readonly RetiredToken[] {
  return [...slots.retired, ...ended].slice(-RETIRED_TOKENS_MAX);
}
