/**
 * Ends streams when what was granted to them is no longer so.
 *
 * A call is asked about once, when it begins, and a unary one is over before its
 * caller's rights could change. A stream goes on for half an hour: with the rights it
 * began with, a caller that was taken out of the configuration would go on reading,
 * and one that was given another tenant would be told that it knows a stretch of the
 * log of which that tenant's events were left out.
 */
export class StreamGrants {
  readonly #open = new Set<() => void>();

  /**
   * Serves a stream as long as `confirm` does not throw. It is asked at each
   * `recheck`, and what it throws is what this rejects with.
   */
  async hold<T>(confirm: () => void, serve: () => Promise<T>): Promise<T> {
    let check: () => void = confirm;
    const lost = new Promise<never>((_, reject) => {
      check = () => {
        try {
          confirm();
        } catch (error) {
          reject(error instanceof Error ? error : new Error("The grant was lost"));
        }
      };
    });
    this.#open.add(check);
    try {
      return await Promise.race([serve(), lost]);
    } finally {
      this.#open.delete(check);
    }
  }

  /** Asks about every open stream again. */
  recheck(): void {
    for (const check of [...this.#open]) check();
  }
}
