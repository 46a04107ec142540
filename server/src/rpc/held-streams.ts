import { RpcError } from "./status.js";

/** Counts the streams of each instance of a caller, so that none takes them all (S-40). */
export class HeldStreams {
  readonly #max: number;
  readonly #held = new Map<string, number>();

  /** `max` is the most of one instance; 0: any number. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Runs `serve` as a stream of `key`, or rejects with TOO_MANY_WATCHERS. */
  async hold<T>(key: string, serve: () => Promise<T>): Promise<T> {
    const held = this.#held.get(key) ?? 0;
    if (this.#max > 0 && held >= this.#max) {
      throw new RpcError("TOO_MANY_WATCHERS", "The caller holds as many streams as it may", {
        metadata: { limit: "streams_per_peer_max", bound: String(this.#max) },
        retryAfterMs: RETRY_MS,
      });
    }
    this.#held.set(key, held + 1);
    try {
      return await serve();
    } finally {
      const left = (this.#held.get(key) ?? 1) - 1;
      if (left === 0) this.#held.delete(key);
      else this.#held.set(key, left);
    }
  }
}

// A stream lives for minutes; asking again at once is no use.
const RETRY_MS = 1000;
