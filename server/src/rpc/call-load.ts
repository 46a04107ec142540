/** How many unary calls are being worked on, so that a drain knows when the last has its answer. */
export class CallLoad {
  #inFlight = 0;
  #onIdle: (() => void)[] = [];

  /** Calls being worked on now. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Counts a call that begins. */
  enter(): void {
    this.#inFlight += 1;
  }

  /** Counts a call that has its answer. */
  leave(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0) {
      const waiting = this.#onIdle;
      this.#onIdle = [];
      for (const resolve of waiting) resolve();
    }
  }

  /** Resolves when no call is being worked on. */
  async idle(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
      });
    }
  }
}
