import type { Clock } from "../base/clock.js";
import { SessionAuthorityError } from "../base/errors.js";
import type { Randomness } from "../base/random.js";

const ATTEMPTS_MAX = 3;
const TOKENS_MAX = 10;
const TOKENS_PER_SUCCESS = 0.1;
const BACKOFF_STEP_MS = 20;

/**
 * How many retries a client may make: at most one for ten calls that succeeded,
 * once ten failures have used up the reserve. An authority in trouble is not
 * sent three times its load (gRPC's retry throttling, A6).
 */
export class RetryBudget {
  #tokens = TOKENS_MAX;

  /** A call succeeded. */
  credit(): void {
    this.#tokens = Math.min(TOKENS_MAX, this.#tokens + TOKENS_PER_SUCCESS);
  }

  /** A call failed as unavailable; says whether it may be tried again. */
  spend(): boolean {
    this.#tokens = Math.max(0, this.#tokens - 1);
    return this.#tokens > TOKENS_MAX / 2;
  }
}

/** What the loop needs of its surroundings. */
export interface RetrySurroundings {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly budget: RetryBudget;
}

/**
 * Tries a call up to three times, within one deadline. Only what failed as
 * UNAVAILABLE is tried again: everything else is an answer, or may be doing its
 * work still. `round_robin` hands each attempt to the next replica.
 */
export async function withRetries<T>(
  surroundings: RetrySurroundings,
  deadlineMs: number,
  attempt: (leftMs: number) => Promise<T>,
): Promise<T> {
  const { clock, randomness, budget } = surroundings;
  const endsAtMs = clock.monotonicMs() + deadlineMs;
  let isUnknown = false;
  for (let attempts = 1; ; attempts += 1) {
    try {
      const result = await attempt(Math.max(1, endsAtMs - clock.monotonicMs()));
      budget.credit();
      return result;
    } catch (error) {
      if (!(error instanceof SessionAuthorityError)) throw error;
      isUnknown ||= error.applied === "unknown";
      if (!error.retryable) throw asKnown(error, isUnknown);
      const backoffMs = randomness.fraction() * BACKOFF_STEP_MS * attempts;
      const isInTime = clock.monotonicMs() + backoffMs < endsAtMs;
      if (!budget.spend() || attempts >= ATTEMPTS_MAX || !isInTime) {
        throw asKnown(error, isUnknown);
      }
      await delay(clock, backoffMs);
    }
  }
}

/** That the last attempt changed nothing says nothing of an earlier one, which may still arrive. */
function asKnown(error: SessionAuthorityError, isUnknown: boolean): SessionAuthorityError {
  if (!isUnknown || error.applied === "unknown") return error;
  const { reason, message, retryable, retryAfterMs, metadata } = error;
  const details = { reason, message, retryable, retryAfterMs, metadata, cause: error };
  return new SessionAuthorityError({ ...details, applied: "unknown" });
}

async function delay(clock: Clock, delayMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    clock.setTimer(delayMs, resolve, "keeps-alive");
  });
}
