/** The calls on their way, to be ended when the client closes: each holds a timer and a socket. */
export class OpenCalls {
  readonly #ends = new Set<() => void>();
  #isClosed = false;

  /** Whether `endAll` was called: nothing may be sent any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A call was sent; `end` ends it. */
  add(end: () => void): void {
    this.#ends.add(end);
  }

  /** It has ended. */
  delete(end: () => void): void {
    this.#ends.delete(end);
  }

  /** Ends every call that was added and not deleted. */
  endAll(): void {
    this.#isClosed = true;
    for (const end of [...this.#ends]) end();
  }
}
