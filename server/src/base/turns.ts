/**
 * Work on one key at a time, in the order it was asked for. It holds nothing for a key on
 * which nobody works.
 */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** How many keys are worked on. */
  get size(): number {
    return this.#last.size;
  }

  /** Does the work when all work on the key that was asked for before has settled. */
  async take<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(work);
    const settled = result.then(ignore, ignore);
    this.#last.set(key, settled);
    try {
      return await result;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}

function ignore(): void {
  // Whoever asked for the work is told how it ended.
}
