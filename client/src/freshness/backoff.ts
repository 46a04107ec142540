import type { Randomness } from "../base/random.js";

const DELAY_MIN_MS = 50;
const DELAY_MAX_MS = 2_000;

/**
 * Delays between attempts: a random part of a bound that doubles from 50 ms to
 * 2 s. Full jitter, because whatever ended one stream ended its neighbours' too.
 */
export class Backoff {
  #attempts = 0;
  readonly #randomness: Randomness;

  constructor(randomness: Randomness) {
    this.#randomness = randomness;
  }

  /** How long to wait now, in ms. */
  nextMs(): number {
    const boundMs = Math.min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** this.#attempts);
    // 2^6 × 50 ms is above the maximum already.
    this.#attempts = Math.min(this.#attempts + 1, 6);
    return this.#randomness.fraction() * boundMs;
  }

  /** It works again: the next failure is a first one. */
  reset(): void {
    this.#attempts = 0;
  }
}

/**
 * How long to wait before starting over, in ms. Two deployments behind one name
 * would otherwise have a client start over as fast as it can ask.
 */
export function startOverPauseMs(randomness: Randomness): number {
  return DELAY_MAX_MS * (0.5 + randomness.fraction() / 2);
}
