import type { RotationTrigger } from "./outcome.js";
import type { TokenStanding } from "./token-slots.js";

/*
 * What a rotation does, decided by which token was presented and why.
 *
 * Two needs pull apart. A browser with three tabs rotates three times at once,
 * and must not be logged out: PERIODIC keeps the old token for a grace period and
 * hands every tab the same successor. A login must leave nothing behind that an
 * attacker could have planted or overheard: every other trigger makes a token of
 * its own, whichever valid token was presented, ends all others at once, and
 * never hands a successor to anyone but a repeat of the same request. Mixing the
 * two (a LOGIN that is handed the successor a PERIODIC rotation installed) is
 * session fixation.
 *
 * A token whose validity ended recently is a double click or a late duplicate.
 * One that comes back later has been in other hands: that is reuse, and it ends
 * the session.
 */

/** How long after its validity ended a presented token still passes for a late duplicate, in ms. */
export const REUSE_TOLERANCE_MS = 30_000;

/**
 * What a rotation does to a live session.
 *
 * - `install-with-grace`: the successor becomes current, the presented token stays for the grace.
 * - `hand-out`: nothing changes; the successor installed before is handed out.
 * - `install-at-once`: the successor becomes current, all other tokens end.
 * - `late-duplicate`: nothing changes; the answer is "rotated".
 * - `reuse`: the session is revoked.
 * - `unknown-token`: nothing changes; the answer is "not found".
 */
export type RotationDecision =
  | "install-with-grace"
  | "hand-out"
  | "install-at-once"
  | "late-duplicate"
  | "reuse"
  | "unknown-token";

/** Decides what a rotation of a live session does. */
export function decideRotation(
  standing: TokenStanding,
  trigger: RotationTrigger,
  nowMs: number,
): RotationDecision {
  switch (standing.kind) {
    case "unknown":
      return "unknown-token";
    case "retired":
      return nowMs - standing.endedAtMs < REUSE_TOLERANCE_MS ? "late-duplicate" : "reuse";
    case "current":
      return trigger === "periodic" ? "install-with-grace" : "install-at-once";
    case "previous":
      return trigger === "periodic" ? "hand-out" : "install-at-once";
  }
}
