import type { Clock, Timer } from "../base/clock.js";

/** One timer for many deadlines: it runs no later than the earliest instant it was set to. */
export class Alarm {
  readonly #clock: Clock;
  readonly #run: () => void;
  #pending: { readonly atMs: number; readonly timer: Timer } | undefined;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** Runs at `atMs` of the monotonic clock, or earlier if it was set to earlier. Infinity: never. */
  set(atMs: number): void {
    if (atMs === Infinity || (this.#pending !== undefined && this.#pending.atMs <= atMs)) {
      return;
    }
    this.cancel();
    const timer = this.#clock.setTimer(Math.max(0, atMs - this.#clock.monotonicMs()), () => {
      this.#pending = undefined;
      this.#run();
    });
    this.#pending = { atMs, timer };
  }

  /** Runs no more until it is set again. */
  cancel(): void {
    this.#pending?.timer.cancel();
    this.#pending = undefined;
  }
}
