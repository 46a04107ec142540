import { RpcError } from "./status.js";

/** When a refused stream may be asked for again, in ms. Streams live for minutes. */
export const STREAM_RETRY_MS = 1000;

/** Counts the streams of each instance of a caller, so that none takes them all (S-40). */
export class HeldStreams {
  readonly #max: number;
  readonly #held = new Map<string, number>();
  #refused = 0;

  /** `max` is the most of one instance; 0: any number. */
  constructor(max: number) {
    this.#max = max;
  }

  /** How many streams were refused. */
  get refused(): number {
    return this.#refused;
  }

  /** Runs `serve` as a stream of `key`, or rejects with TOO_MANY_WATCHERS. */
  async hold<T>(key: string, serve: () => Promise<T>): Promise<T> {
    const held = this.#held.get(key) ?? 0;
    if (this.#max > 0 && held >= this.#max) {
      this.#refused += 1;
      throw new RpcError("TOO_MANY_WATCHERS", "The caller holds as many streams as it may", {
        metadata: { limit: "streams_per_peer_max", bound: String(this.#max) },
        retryAfterMs: STREAM_RETRY_MS,
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
