import type { Clock, Timer } from "../base/clock.js";

/*
 * How far the event loop is behind.
 *
 * A single late timer says little: a garbage collection, a large reply, a machine
 * that was suspended. What hurts callers is a delay that does not go away. So the
 * least of the last few samples counts, as in CoDel: it is high only where every
 * one of them was.
 */

const SAMPLE_MS = 100;
const SAMPLES = 5;

/** Watches how late the timers of this process run. */
export class EventLoopDelay {
  readonly #clock: Clock;
  readonly #onSample: () => void;
  readonly #latenessMs: number[] = [];
  #standingMs = 0;
  #timer: Timer | undefined;

  /** `onSample` is called after each sample. */
  constructor(clock: Clock, onSample: () => void) {
    this.#clock = clock;
    this.#onSample = onSample;
  }

  /** By how much timers have been late for half a second at least, in ms. */
  get standingMs(): number {
    return this.#standingMs;
  }

  /** Begins to measure. */
  start(): void {
    const dueMs = this.#clock.monotonicMs() + SAMPLE_MS;
    this.#timer = this.#clock.setTimer(SAMPLE_MS, () => {
      this.#latenessMs.push(Math.max(0, this.#clock.monotonicMs() - dueMs));
      if (this.#latenessMs.length > SAMPLES) {
        this.#latenessMs.shift();
      }
      // Here and not where it is asked for, which is at every call.
      this.#standingMs = this.#latenessMs.length < SAMPLES ? 0 : Math.min(...this.#latenessMs);
      this.#onSample();
      this.start();
    });
  }

  /** Ends it. */
  stop(): void {
    this.#timer?.cancel();
  }
}
