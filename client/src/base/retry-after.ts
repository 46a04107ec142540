import type { SessionAuthorityError } from "./errors.js";

/**
 * The longest pause that the authority's word is taken for, in ms. Beyond it a client
 * that misread one answer, or heard one from a replica that is gone, would be silent
 * for longer than any bound of its own.
 */
export const RETRY_AFTER_MAX_MS = 5_000;

/** How long the authority asks to be left alone, in ms; 0 where it does not ask. */
export function retryAfterMsOf(error: SessionAuthorityError): number {
  return Math.min(error.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
}
