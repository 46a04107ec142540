import { systemClock } from "./clock.js";

/** Resolves when `work` does, or at the deadline, on the monotonic clock of the process. */
export async function within(deadlineMs: number, work: Promise<void>): Promise<void> {
  const leftMs = Math.max(0, deadlineMs - systemClock.monotonicMs());
  await new Promise<void>((resolve, reject) => {
    const timer = systemClock.setTimer(leftMs, resolve);
    work
      .finally(() => {
        timer.cancel();
      })
      .then(resolve, reject);
  });
}
