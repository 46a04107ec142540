/**
 * Why a call failed: the authority's own reasons (`ErrorReason` of the
 * contract), and those of this library.
 *
 * - `unreachable`: no replica could be reached, or the connection broke.
 * - `timeout`: no answer within the deadline.
 * - `cancelled`: the caller's signal aborted.
 * - `closed`: the client has been closed.
 * - `unusable-reply`: an answer arrived that may not be used: too old, older
 *   than what this client had applied, of another session, or malformed.
 * - `too-many-calls`: this client has as many calls in flight as it may.
 */
export type FailureReason =
  | "invalid-field"
  | "request-id-reused"
  | "request-superseded"
  | "session-not-found"
  | "session-not-live"
  | "version-conflict"
  | "session-limit-reached"
  | "except-session-not-live"
  | "subject-already-bound"
  | "recovery-not-allowed"
  | "rate-limited"
  | "overloaded"
  | "too-many-cutoffs"
  | "store-full"
  | "tenant-limit-reached"
  | "store-unavailable"
  | "store-outcome-unknown"
  | "behind"
  | "watcher-too-slow"
  | "wrong-deployment"
  | "draining"
  | "not-implemented"
  | "internal"
  | "unsupported-schema"
  | "caller-not-allowed"
  | "caller-unknown"
  | "too-many-watchers"
  | "unknown-policy"
  | "not-started"
  | "unreachable"
  | "timeout"
  | "cancelled"
  | "closed"
  | "unusable-reply"
  | "too-many-calls";

/** What a `SessionAuthorityError` is made of. */
export interface FailureDetails {
  readonly reason: FailureReason;
  readonly applied: "no" | "unknown";
  readonly message: string;
  /** Whether the same call may succeed at another replica or a moment later. */
  readonly retryable?: boolean;
  readonly retryAfterMs?: number | undefined;
  /** What the authority added, such as `field`, `bound` or `session_id`. */
  readonly metadata?: ReadonlyMap<string, string>;
  readonly cause?: unknown;
}

/**
 * A call to the authority that failed. An expected answer is never an error:
 * an expired session is a result.
 */
export class SessionAuthorityError extends Error {
  override readonly name = "SessionAuthorityError";
  /** The closed set of causes, to switch over. */
  readonly reason: FailureReason;
  /** `no`: this call changed nothing. `unknown`: it may have; read, or repeat it. */
  readonly applied: "no" | "unknown";
  /** Whether the library itself retries this kind of failure. */
  readonly retryable: boolean;
  /** When the authority asks to come back, in ms from now; undefined where it does not say. */
  readonly retryAfterMs: number | undefined;
  /** What the authority added, such as `field` and `bound`. Never a token. */
  readonly metadata: ReadonlyMap<string, string>;

  constructor(details: FailureDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = details.reason;
    this.applied = details.applied;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.metadata = details.metadata ?? new Map();
  }
}

/** The failure as this library's error, whatever was thrown. */
export function toSessionAuthorityError(thrown: unknown): SessionAuthorityError {
  if (thrown instanceof SessionAuthorityError) return thrown;
  return new SessionAuthorityError({
    reason: "internal",
    applied: "unknown",
    message: `The call failed unexpectedly: ${thrown instanceof Error ? thrown.message : "no error was given"}`,
    cause: thrown,
  });
}
