import { ErrorInfo, RetryInfo, Status } from "@coatcheck/proto";
import { status as Code, type ServiceError } from "@grpc/grpc-js";
import { SessionAuthorityError, type FailureReason } from "../base/errors.js";
import { fromDuration } from "./convert.js";

/** Reasons of the contract → whether such a call changed nothing, where the contract says so. */
const REASONS: ReadonlyMap<string, { reason: FailureReason; applied: "no" | "unknown" }> = new Map(
  Object.entries({
    INVALID_FIELD: { reason: "invalid-field", applied: "no" },
    REQUEST_ID_REUSED: { reason: "request-id-reused", applied: "no" },
    REQUEST_SUPERSEDED: { reason: "request-superseded", applied: "unknown" },
    SESSION_NOT_FOUND: { reason: "session-not-found", applied: "no" },
    SESSION_NOT_LIVE: { reason: "session-not-live", applied: "no" },
    VERSION_CONFLICT: { reason: "version-conflict", applied: "no" },
    SESSION_LIMIT_REACHED: { reason: "session-limit-reached", applied: "no" },
    EXCEPT_SESSION_NOT_LIVE: { reason: "except-session-not-live", applied: "no" },
    SUBJECT_ALREADY_BOUND: { reason: "subject-already-bound", applied: "no" },
    RECOVERY_NOT_ALLOWED: { reason: "recovery-not-allowed", applied: "no" },
    RATE_LIMITED: { reason: "rate-limited", applied: "no" },
    OVERLOADED: { reason: "overloaded", applied: "no" },
    TOO_MANY_CUTOFFS: { reason: "too-many-cutoffs", applied: "no" },
    STORE_FULL: { reason: "store-full", applied: "no" },
    STORE_UNAVAILABLE: { reason: "store-unavailable", applied: "no" },
    STORE_OUTCOME_UNKNOWN: { reason: "store-outcome-unknown", applied: "unknown" },
    BEHIND: { reason: "behind", applied: "no" },
    WATCHER_TOO_SLOW: { reason: "watcher-too-slow", applied: "no" },
    WRONG_DEPLOYMENT: { reason: "wrong-deployment", applied: "no" },
    DRAINING: { reason: "draining", applied: "unknown" },
    NOT_IMPLEMENTED: { reason: "not-implemented", applied: "no" },
    INTERNAL: { reason: "internal", applied: "unknown" },
    UNSUPPORTED_SCHEMA: { reason: "unsupported-schema", applied: "no" },
    CALLER_NOT_ALLOWED: { reason: "caller-not-allowed", applied: "no" },
    CALLER_UNKNOWN: { reason: "caller-unknown", applied: "no" },
    TOO_MANY_WATCHERS: { reason: "too-many-watchers", applied: "no" },
    UNKNOWN_POLICY: { reason: "unknown-policy", applied: "no" },
    NOT_STARTED: { reason: "not-started", applied: "no" },
    TENANT_LIMIT_REACHED: { reason: "tenant-limit-reached", applied: "no" },
  } satisfies Record<string, { reason: FailureReason; applied: "no" | "unknown" }>),
);

/** For failures that did not come from an authority of ours: a proxy, the transport itself. */
const CODES: ReadonlyMap<Code, { reason: FailureReason; applied: "no" | "unknown" }> = new Map([
  [Code.CANCELLED, { reason: "cancelled", applied: "unknown" }],
  [Code.DEADLINE_EXCEEDED, { reason: "timeout", applied: "unknown" }],
  [Code.UNAVAILABLE, { reason: "unreachable", applied: "unknown" }],
  [Code.UNAUTHENTICATED, { reason: "caller-unknown", applied: "no" }],
  [Code.PERMISSION_DENIED, { reason: "caller-not-allowed", applied: "no" }],
  [Code.UNIMPLEMENTED, { reason: "not-implemented", applied: "no" }],
  [Code.INVALID_ARGUMENT, { reason: "invalid-field", applied: "no" }],
  [Code.RESOURCE_EXHAUSTED, { reason: "overloaded", applied: "unknown" }],
]);

const DOMAIN = "coatcheck";
const TYPE_PREFIX = "type.googleapis.com/";

interface Details {
  info: ErrorInfo | undefined;
  retryAfterMs: number | undefined;
}

/** A failed call as this library's error. The status message is the authority's, and has no token. */
export function fromServiceError(method: string, error: ServiceError): SessionAuthorityError {
  const { info, retryAfterMs } = detailsOf(error);
  const known = (info && REASONS.get(info.reason)) ??
    CODES.get(error.code) ?? { reason: "internal", applied: "unknown" };
  return new SessionAuthorityError({
    ...known,
    message: `${method} failed: ${error.details}`,
    retryable: error.code === Code.UNAVAILABLE,
    retryAfterMs,
    metadata: info?.metadata ?? new Map(),
  });
}

function detailsOf(error: ServiceError): Details {
  const details: Details = { info: undefined, retryAfterMs: undefined };
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  if (!(trailer instanceof Buffer)) return details;
  try {
    for (const { typeUrl, value } of Status.decode(trailer).details) {
      if (typeUrl === `${TYPE_PREFIX}google.rpc.ErrorInfo`) readInfo(value, details);
      if (typeUrl === `${TYPE_PREFIX}google.rpc.RetryInfo`) {
        details.retryAfterMs = fromDuration(RetryInfo.decode(value).retryDelay, 0);
      }
    }
  } catch {
    // Details that cannot be read leave the status code to speak for itself.
  }
  return details;
}

function readInfo(value: Uint8Array, details: Details): void {
  const info = ErrorInfo.decode(value);
  if (info.domain === DOMAIN) details.info = info;
}
