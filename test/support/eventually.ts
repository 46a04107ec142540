import { setTimeout as sleep } from "node:timers/promises";

/** How long `eventually` asks, and how often. */
export interface EventuallyOptions {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/**
 * Asks until `check` returns something other than `false` or `undefined`, and returns that. A
 * throw counts as "not yet", so `check` may hold `expect` calls; the last one's error is the
 * failure.
 *
 * For real processes and sockets only. Whatever takes a `Clock` is tested with a `ManualClock`.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 5_000, intervalMs = 10 }: EventuallyOptions = {},
): Promise<Exclude<T, false | undefined>> {
  const endsAtMs = performance.now() + timeoutMs;
  for (;;) {
    const outcome = await attempt(check);
    if ("value" in outcome) return outcome.value;
    if (performance.now() >= endsAtMs) {
      throw new Error(`Still not so after ${timeoutMs} ms: ${outcome.reason}`, {
        cause: outcome.error,
      });
    }
    await sleep(intervalMs);
  }
}

type Attempt<T> =
  | { readonly value: Exclude<T, false | undefined> }
  | { readonly reason: string; readonly error?: unknown };

async function attempt<T>(check: () => T | Promise<T>): Promise<Attempt<T>> {
  try {
    const value = await check();
    if (value === false || value === undefined)
      return { reason: `the check gave ${String(value)}` };
    return { value: value as Exclude<T, false | undefined> };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error), error };
  }
}
