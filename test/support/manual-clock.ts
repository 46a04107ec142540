import { type Clock, type Timer } from "#server/base/clock.js";

interface Pending {
  readonly dueAtMs: number;
  readonly run: () => void;
}

/**
 * A clock that moves only when a test says so.
 *
 * It fits the server's and the client's `Clock` alike. The wall clock starts at the real
 * epoch, because an instant near zero that reaches Redis (`PEXPIREAT`) deletes its key at once.
 */
export class ManualClock implements Clock {
  #monotonicMs = 1_000;
  #wallMs: number;
  readonly #pending = new Set<Pending>();

  constructor(wallMs = Date.now()) {
    this.#wallMs = wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { dueAtMs: this.#monotonicMs + Math.max(0, delayMs), run };
    this.#pending.add(timer);
    return {
      cancel: () => {
        this.#pending.delete(timer);
      },
    };
  }

  /** How many timers are waiting: zero after a clean close. */
  get timerCount(): number {
    return this.#pending.size;
  }

  /**
   * Moves both clocks and runs every timer that falls due, in the order of their instants and
   * at them, including those that a timer sets on the way.
   */
  advance(ms: number): void {
    const endMs = this.#monotonicMs + ms;
    while (this.#runNext(endMs));
    this.#moveTo(endMs);
  }

  /**
   * Advances as `advance` does, and lets promises settle after each timer, so that an async
   * function which waits on a timer again and again gets all its turns.
   */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    do await settle();
    while (this.#runNext(endMs));
    this.#moveTo(endMs);
  }

  /**
   * Steps the wall clock alone: as an administrator or NTP does, or a suspended machine, whose
   * monotonic clock and timers stand still.
   */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }

  /** Runs the next timer that is due by `endMs`, at its instant; false when there is none. */
  #runNext(endMs: number): boolean {
    const timer = this.#nextDue(endMs);
    if (timer === undefined) return false;
    this.#pending.delete(timer);
    this.#moveTo(timer.dueAtMs);
    timer.run();
    return true;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }

  #nextDue(endMs: number): Pending | undefined {
    let next: Pending | undefined;
    for (const timer of this.#pending) {
      if (timer.dueAtMs <= endMs && (next === undefined || timer.dueAtMs < next.dueAtMs)) {
        next = timer;
      }
    }
    return next;
  }
}

/** Lets everything that waits only on promises run to its next real wait. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
