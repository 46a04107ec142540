import { StoreFullError, StoreUnavailableError } from "../store-error.js";

/*
 * The boundary that no error of the Redis library passes.
 *
 * A `ReplyError` carries the command with all its arguments, enumerable, and a
 * logger prints what is enumerable: digests, subjects and facts would be in the
 * log. So nothing of the original goes on but the first word of what Redis said.
 *
 * The other question is whether the effect may have happened. Redis checks a
 * script's flags before it starts it, so a refusal of the whole script applied
 * nothing; and nothing was applied where the connection was not ready. After a
 * timeout or a broken connection nobody knows, and the error says so.
 */

/** What Redis says when it refuses to start a script, or when a script refuses by itself. */
const REFUSALS = new Set([
  "ASK",
  "BUSY",
  "CLOSED",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "MOVED",
  "NOAUTH",
  "NOPERM",
  "NOPROTO",
  "NOREPLICAS",
  "NOSCRIPT",
  "NOTPRIMARY",
  "OOM",
  "READONLY",
  "TRYAGAIN",
  "WRONGPASS",
]);

/** Messages of the library for a command that it did not send. */
const NEVER_SENT = ["enableOfflineQueue", "offline queue", "Failed to refresh slots cache"];

/** The first word of what Redis said, or undefined where it was not Redis that failed. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== "ReplyError") {
    return undefined;
  }
  return /^[A-Z]+/.exec(error.message)?.[0] ?? "ERR";
}

/** Whether Redis refused a script before it ran, so that nothing was applied. */
export function isRefusal(code: string | undefined): boolean {
  return code !== undefined && REFUSALS.has(code);
}

/** Whether what this connection was told of a partition may have changed hands meanwhile. */
export function isChangeOfPrimary(code: string | undefined): boolean {
  return code === "READONLY" || code === "MOVED" || code === "CLOSED" || code === "NOTPRIMARY";
}

/** Turns any failure of a Redis call into one of the store, with nothing of its arguments. */
export function toStoreError(attempt: string, error: unknown): Error {
  if (error instanceof StoreUnavailableError || error instanceof StoreFullError) {
    return error;
  }
  const code = replyCode(error);
  if (code === "OOM") {
    return new StoreFullError(`Cannot ${attempt}: Redis is at its memory limit`);
  }
  if (code !== undefined) {
    const applied = isRefusal(code) ? "no" : "unknown";
    return new StoreUnavailableError(`Cannot ${attempt}: Redis answered ${code}`, applied);
  }
  const message = error instanceof Error ? error.message : "";
  if (message === "Command timed out") {
    return new StoreUnavailableError(`Cannot ${attempt}: Redis did not answer in time`, "unknown");
  }
  return NEVER_SENT.some((part) => message.includes(part))
    ? notReady(attempt)
    : new StoreUnavailableError(`Cannot ${attempt}: the connection to Redis broke`, "unknown");
}

/** The error of a call that was not sent. */
export function notReady(attempt: string): StoreUnavailableError {
  return new StoreUnavailableError(`Cannot ${attempt}: there is no connection to Redis`, "no");
}
