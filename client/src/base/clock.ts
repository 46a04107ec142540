/** A pending timer. Cancelling twice, or after it ran, does nothing. */
export interface Timer {
  cancel(): void;
}

/**
 * Where time comes from. It is passed in, so that a test decides what time it
 * is and no test sleeps.
 */
export interface Clock {
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch. It may jump. */
  wallMs(): number;
  /**
   * Runs `run` once, `delayMs` from now. Timers do not keep the process alive,
   * except where somebody waits for a promise that rests on one: a program that
   * ends in the middle of an `await` ends without a word.
   */
  setTimer(delayMs: number, run: () => void, keepsAlive?: "keeps-alive"): Timer;
}

/** The clock of this process. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, run, keepsAlive) => {
    const handle = setTimeout(run, delayMs);
    if (keepsAlive === undefined) handle.unref();
    return {
      cancel: () => {
        clearTimeout(handle);
      },
    };
  },
};
