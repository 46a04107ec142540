import type { SessionEnd } from "./outcome.js";
import type { SessionPolicy } from "./policy.js";

/** What decides when a session expires. */
export interface Lifetime {
  readonly lastSeenAtMs: number;
  /** 0: no idle timeout. */
  readonly idleTimeoutMs: number;
  /** Fixed at creation; nothing moves it, neither a use nor a rotation (S-07). */
  readonly absoluteDeadlineMs: number;
}

/** How a session expired, and when. */
export interface Expiry {
  readonly outcome: "expired-absolute" | "expired-idle";
  readonly end: SessionEnd;
}

/** The instant from which the session counts as unused for too long; infinite without a timeout. */
export function idleDeadlineMs(lifetime: Lifetime): number {
  return lifetime.idleTimeoutMs === 0
    ? Number.POSITIVE_INFINITY
    : lifetime.lastSeenAtMs + lifetime.idleTimeoutMs;
}

/** The first deadline a session can meet if nothing happens to it. */
export function nextDeadlineMs(lifetime: Lifetime): number {
  return Math.min(idleDeadlineMs(lifetime), lifetime.absoluteDeadlineMs);
}

/**
 * Returns how the session has expired, or undefined before both deadlines. At a
 * deadline it has. Where both have passed the absolute one is named, because an
 * idle-expired session may be recovered and this one may not.
 */
export function findExpiry(lifetime: Lifetime, nowMs: number): Expiry | undefined {
  if (nowMs >= lifetime.absoluteDeadlineMs) {
    return { outcome: "expired-absolute", end: expiredAt(lifetime.absoluteDeadlineMs) };
  }
  const idleAtMs = idleDeadlineMs(lifetime);
  return nowMs >= idleAtMs ? { outcome: "expired-idle", end: expiredAt(idleAtMs) } : undefined;
}

/**
 * Whether a use at `usedAtMs` is to be written. Uses are written at most once in
 * the touch interval, and at least four times in an idle timeout, so that a
 * session in use may end up to one interval early and never late (S-17).
 */
export function isTouchDue(
  lifetime: Lifetime & Pick<SessionPolicy, "touchIntervalMs">,
  usedAtMs: number,
): boolean {
  const quarterMs =
    lifetime.idleTimeoutMs === 0 ? Number.POSITIVE_INFINITY : lifetime.idleTimeoutMs / 4;
  const elapsedMs = usedAtMs - lifetime.lastSeenAtMs;
  return elapsedMs > 0 && elapsedMs >= Math.min(lifetime.touchIntervalMs, quarterMs);
}

function expiredAt(atMs: number): SessionEnd {
  return { reason: "unspecified", atMs, initiatingEntity: "unspecified", reasonUser: "" };
}
