import type { Clock } from "./clock.js";

/**
 * When something was sent, on both clocks of this process.
 *
 * One clock is not enough. The monotonic clock of a suspended machine stands
 * still on some platforms (nodejs/node#47724), so a cache would wake up and
 * find everything as fresh as before; the wall clock may be stepped back. The
 * age is therefore the larger of the two, and a wall clock that went back
 * further than adjustments explain makes the instant worthless.
 */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** How far the wall clock may be adjusted back without voiding an instant, in ms. */
export const WALL_STEP_BACK_MAX_MS = 250;

/** The present, on both clocks. */
export function instantOf(clock: Clock): Instant {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
}

/** Milliseconds elapsed since `sentAt`, never too few; infinite where they cannot be known. */
export function ageMs(sentAt: Instant, now: Instant): number {
  const wallElapsedMs = now.wallMs - sentAt.wallMs;
  if (wallElapsedMs < -WALL_STEP_BACK_MAX_MS) return Number.POSITIVE_INFINITY;
  return Math.max(now.monotonicMs - sentAt.monotonicMs, wallElapsedMs, 0);
}
