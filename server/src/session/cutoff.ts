import type { SessionEnd } from "./outcome.js";
import { compareRevisions, type Revision } from "./revision.js";

/*
 * Ending many sessions at once by a single fact instead of one write for each.
 *
 * A cutoff says "what was issued before this revision has ended". It costs the
 * same for three sessions and for a million, it is one atomic step, and it leaves
 * no window in which a login slips between the listing and the writing. The
 * comparison is strict: a session that is created right after "log out
 * everywhere", in the same millisecond, carries the cutoff's own revision as its
 * head and lives (FAULTS row 10), which a comparison of clocks cannot tell.
 *
 * Only the greatest cutoff of a scope is kept. Putting an older one over a newer
 * one would bring sessions back to life.
 */

/** A cutoff in force, with what its sessions say of their end. */
export interface Cutoff {
  /** The event that set it. */
  readonly revision: Revision;
  /**
   * Undefined: it covers what was issued before `revision`. Otherwise it covers
   * what was created before this instant of the store's clock.
   */
  readonly createdBeforeMs: number | undefined;
  readonly end: SessionEnd;
}

/** What a cutoff is compared with. */
export interface IssuedSession {
  readonly issued: Revision;
  readonly createdAtMs: number;
}

/** Whether the cutoff ends the session. */
export function isUnder(cutoff: Cutoff, session: IssuedSession): boolean {
  return cutoff.createdBeforeMs === undefined
    ? compareRevisions(session.issued, cutoff.revision) < 0
    : session.createdAtMs < cutoff.createdBeforeMs;
}

/** Of two cutoffs of one scope and kind, the one that ends more. */
export function strongerCutoff(existing: Cutoff | undefined, added: Cutoff): Cutoff {
  if (existing === undefined) {
    return added;
  }
  const addedReach =
    added.createdBeforeMs === undefined || existing.createdBeforeMs === undefined
      ? compareRevisions(added.revision, existing.revision)
      : added.createdBeforeMs - existing.createdBeforeMs;
  return addedReach > 0 ? added : existing;
}
