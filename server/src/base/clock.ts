/** A pending timer. Cancelling twice, or after it ran, does nothing. */
export interface Timer {
  cancel(): void;
}

/**
 * Where time comes from. It is passed in, so that a test decides what time it
 * is and no test sleeps. Timers never keep the process alive.
 */
export interface Clock {
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch. It may jump. */
  wallMs(): number;
  /** Runs `run` once, `delayMs` from now. */
  setTimer(delayMs: number, run: () => void): Timer;
}

/** The clock of this process. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, run) => {
    const handle = setTimeout(run, delayMs);
    handle.unref();
    return {
      cancel: () => {
        clearTimeout(handle);
      },
    };
  },
};
