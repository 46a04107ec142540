import type { FailureReason } from "./base/errors.js";
import type { Revision } from "./base/revision.js";
import type { BindingField, Session, SessionEnd, ValidationOutcome } from "./base/session.js";

/**
 * The answer to one validation.
 *
 * - `valid`: the token may be used. `ageMs` is how old the proof is at most.
 * - `invalid`: it may not. `rotated` means that a newer token exists: do not
 *   clear the user's cookie on it. `no-token` means that none was given.
 * - `unavailable`: nobody could say. It is neither "valid" nor "logged out":
 *   answer with a 503, not with a redirect to the login page.
 * - `stale`: the authority could not be asked, and the call site said that it
 *   would rather have an answer this old than none.
 */
export type Validation =
  | {
      readonly kind: "valid";
      readonly session: Session;
      readonly source: "cache" | "authority";
      readonly ageMs: number;
      /** The token is a previous one in its grace period: rotate to get the current one. */
      readonly superseded: boolean;
      /** Fields of the binding that differ where the policy only warns. */
      readonly bindingWarnings: readonly BindingField[];
    }
  | {
      readonly kind: "invalid";
      readonly outcome: Exclude<ValidationOutcome, "valid"> | "no-token";
      readonly ended?: SessionEnd;
    }
  | {
      readonly kind: "unavailable";
      readonly reason: FailureReason;
      readonly retryAfterMs?: number;
    }
  | { readonly kind: "stale"; readonly session: Session; readonly ageMs: number };

/** Where the token was presented from, compared as the session's policy says. */
export interface PresentedBinding {
  readonly ipAddress?: string;
  readonly userAgent?: string;
  readonly deviceId?: string;
}

/** What a session must fulfil beyond being alive. All of it; what is not known does not hold. */
export interface Requirements {
  /** Least authenticator assurance level, 0 to 3. */
  readonly minAal?: number;
  /** Greatest age of the authentication, in ms. */
  readonly maxAuthAgeMs?: number;
  /** Methods that must all have been used, as in RFC 8176. */
  readonly requiredAmr?: readonly string[];
}

/** What a validation checks beyond the token. Evaluated on facts, at every hit and every answer. */
export interface Conditions {
  /** The session's client must be among them; otherwise the outcome is `not-found`. */
  readonly audienceClientIds?: readonly string[];
  readonly binding?: PresentedBinding;
  readonly requirements?: Requirements;
}

/** How to validate. */
export interface ValidateOptions extends Conditions {
  /**
   * Whether this counts as a use of the session.
   *
   * @default true
   */
  readonly touch?: boolean;
  /** The answer must be at least this new: a revision that some other call returned. */
  readonly minRevision?: Revision;
  /**
   * Where the authority cannot be asked, accept what is in memory if it is at
   * most this old, in ms, up to 30,000. Such answers are of kind `stale`, are
   * counted, and are visible to the authority's operators.
   *
   * @default 0: never
   */
  readonly maxStaleOnErrorMs?: number;
  /** Ends this caller's waiting, with `unavailable`. Nobody else's. */
  readonly signal?: AbortSignal;
}
