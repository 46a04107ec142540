import type { Clock } from "./base/clock.js";
import { SessionAuthorityError, type FailureReason } from "./base/errors.js";
import { retryAfterMsOf } from "./base/retry-after.js";
import { BoundedMap } from "./cache/bounded-map.js";

/** Refusals of one question that the next one would meet as well. */
const REFUSALS: ReadonlySet<FailureReason> = new Set<FailureReason>(["overloaded", "rate-limited"]);

/** Beyond it the oldest is forgotten, and may be asked again. */
const HELD_MAX = 10_000;

/** A refused question. */
interface Held {
  readonly untilMs: number;
  readonly error: SessionAuthorityError;
}

/**
 * Questions that the authority refused and asked to be left alone with for a while:
 * a page that is reloaded, or a garbage token that a browser sends with every
 * request, would otherwise make more of the load that it was refused for. Each token
 * waits by itself, because one that is over its limit says nothing about the others.
 */
export class HeldQuestions {
  readonly #clock: Clock;
  readonly #held = new BoundedMap<string, Held>(HELD_MAX, () => undefined);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Holds a question back, if its failure was such a refusal. */
  note(digest: string, error: SessionAuthorityError): void {
    const pauseMs = retryAfterMsOf(error);
    if (pauseMs <= 0 || !REFUSALS.has(error.reason)) return;
    this.#held.set(digest, { untilMs: this.#clock.monotonicMs() + pauseMs, error });
  }

  /** Why a question may not be asked now, with the time that is left; undefined where it may. */
  find(digest: string): SessionAuthorityError | undefined {
    const held = this.#held.get(digest);
    if (held === undefined) return undefined;
    const retryAfterMs = held.untilMs - this.#clock.monotonicMs();
    if (retryAfterMs <= 0) {
      this.#held.delete(digest);
      return undefined;
    }
    const { reason, message, metadata } = held.error;
    return new SessionAuthorityError({ reason, applied: "no", message, metadata, retryAfterMs });
  }
}
