import type { Any, ErrorReason } from "@coatcheck/proto";
import { ErrorInfo, type Status as RpcStatus, RetryInfo, Status } from "@coatcheck/proto";
import { Metadata, type ServiceError, status as GrpcCode } from "@grpc/grpc-js";

import {
  StoreBehindError,
  StoreFullError,
  StoreUnavailableError,
  UnsupportedSchemaError,
} from "../store/store-error.js";
import { millisToDuration } from "./convert.js";

/*
 * The only place where an error becomes a gRPC status.
 *
 * A caller can act on three things: the code (is a retry any use), the reason
 * (what exactly, from the closed enum of the contract) and whether the call was
 * applied. All three travel as `google.rpc.Status` in the trailer
 * `grpc-status-details-bin`, where every gRPC library looks for them. The
 * sentence is for people.
 *
 * What the store or the runtime says never goes on the wire: a driver's message
 * names hosts, keys and arguments. Whatever is not recognised here is INTERNAL
 * with one fixed sentence, and the caller of `toRpcError` logs it (S-44).
 */

/** A machine-readable cause, as it is written in `ErrorInfo.reason`. */
export type ErrorReasonName = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/** What may be said of a failed call beyond its reason. */
export interface RpcErrorDetails {
  /** For machines: ids, field names and bounds. Never a token. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How long the caller should wait before it tries again, in ms. */
  readonly retryAfterMs?: number;
}

/** A failed call as the caller will see it. The message goes on the wire. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: GrpcCode;
  readonly reason: ErrorReasonName;
  readonly details: RpcErrorDetails;

  constructor(reason: ErrorReasonName, message: string, details: RpcErrorDetails = {}) {
    super(message);
    this.code = CODES[reason];
    this.reason = reason;
    this.details = details;
  }
}

/** The domain of every `ErrorInfo`. */
export const ERROR_DOMAIN = "coatcheck";

/** The trailer that carries `google.rpc.Status`. */
export const STATUS_DETAILS_TRAILER = "grpc-status-details-bin";

// A lost store connection is tried again within this time, so that asking sooner is no use.
const STORE_RETRY_MS = 100;

const CODES: Readonly<Record<ErrorReasonName, GrpcCode>> = {
  INVALID_FIELD: GrpcCode.INVALID_ARGUMENT,
  REQUEST_ID_REUSED: GrpcCode.INVALID_ARGUMENT,
  REQUEST_SUPERSEDED: GrpcCode.FAILED_PRECONDITION,
  SESSION_NOT_FOUND: GrpcCode.NOT_FOUND,
  SESSION_NOT_LIVE: GrpcCode.FAILED_PRECONDITION,
  VERSION_CONFLICT: GrpcCode.ABORTED,
  SESSION_LIMIT_REACHED: GrpcCode.FAILED_PRECONDITION,
  EXCEPT_SESSION_NOT_LIVE: GrpcCode.FAILED_PRECONDITION,
  SUBJECT_ALREADY_BOUND: GrpcCode.FAILED_PRECONDITION,
  RECOVERY_NOT_ALLOWED: GrpcCode.FAILED_PRECONDITION,
  RATE_LIMITED: GrpcCode.RESOURCE_EXHAUSTED,
  OVERLOADED: GrpcCode.RESOURCE_EXHAUSTED,
  TOO_MANY_CUTOFFS: GrpcCode.RESOURCE_EXHAUSTED,
  STORE_FULL: GrpcCode.RESOURCE_EXHAUSTED,
  STORE_UNAVAILABLE: GrpcCode.UNAVAILABLE,
  STORE_OUTCOME_UNKNOWN: GrpcCode.UNAVAILABLE,
  BEHIND: GrpcCode.UNAVAILABLE,
  WATCHER_TOO_SLOW: GrpcCode.RESOURCE_EXHAUSTED,
  WRONG_DEPLOYMENT: GrpcCode.INVALID_ARGUMENT,
  DRAINING: GrpcCode.UNAVAILABLE,
  NOT_IMPLEMENTED: GrpcCode.UNIMPLEMENTED,
  INTERNAL: GrpcCode.INTERNAL,
  UNSUPPORTED_SCHEMA: GrpcCode.UNAVAILABLE,
  CALLER_NOT_ALLOWED: GrpcCode.PERMISSION_DENIED,
  CALLER_UNKNOWN: GrpcCode.UNAUTHENTICATED,
  TOO_MANY_WATCHERS: GrpcCode.RESOURCE_EXHAUSTED,
  UNKNOWN_POLICY: GrpcCode.INVALID_ARGUMENT,
  NOT_STARTED: GrpcCode.DEADLINE_EXCEEDED,
  TENANT_LIMIT_REACHED: GrpcCode.RESOURCE_EXHAUSTED,
};

/** A call that came to nothing because nobody waits for it any more: never started. */
export class NotStartedError extends RpcError {
  override readonly code: GrpcCode;

  constructor(cancelled: boolean) {
    super("NOT_STARTED", cancelled ? "The call was cancelled" : "The deadline had passed");
    this.code = cancelled ? GrpcCode.CANCELLED : GrpcCode.DEADLINE_EXCEEDED;
  }
}

/** Turns whatever was thrown into what the caller may see. Errors it does not know are INTERNAL. */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) {
    return error;
  }
  return (
    fromStore(error) ??
    new RpcError("INTERNAL", "The authority failed to answer; its log has the cause")
  );
}

function fromStore(error: unknown): RpcError | undefined {
  if (error instanceof StoreUnavailableError) {
    return error.applied === "no" ? storeUnavailable() : storeOutcomeUnknown();
  }
  if (error instanceof StoreFullError) {
    return new RpcError("STORE_FULL", "The session store has no room for a new session");
  }
  if (error instanceof StoreBehindError) {
    return new RpcError("BEHIND", "This replica has not seen min_revision yet");
  }
  if (error instanceof UnsupportedSchemaError) {
    return new RpcError(
      "UNSUPPORTED_SCHEMA",
      "The session store was written by a newer server than this one",
    );
  }
  return undefined;
}

function storeUnavailable(): RpcError {
  return new RpcError("STORE_UNAVAILABLE", "The session store cannot be reached", {
    retryAfterMs: STORE_RETRY_MS,
  });
}

function storeOutcomeUnknown(): RpcError {
  return new RpcError(
    "STORE_OUTCOME_UNKNOWN",
    "The session store did not answer; whether the call was applied is unknown",
    { retryAfterMs: STORE_RETRY_MS },
  );
}

/** What grpc-js sends: code, sentence, and the details in the trailer. */
export function toServiceError(error: RpcError): ServiceError {
  const metadata = new Metadata();
  metadata.set(STATUS_DETAILS_TRAILER, Buffer.from(Status.encode(toRpcStatus(error)).finish()));
  return Object.assign(new Error(error.message), {
    code: error.code,
    details: error.message,
    metadata,
  });
}

/** The same as a message, for a batch where one item fails alone. */
export function toRpcStatus(error: RpcError): RpcStatus {
  const info = ErrorInfo.create({
    reason: error.reason,
    domain: ERROR_DOMAIN,
    metadata: new Map(Object.entries(error.details.metadata ?? {})),
  });
  const details = [anyOf("google.rpc.ErrorInfo", ErrorInfo.encode(info).finish())];
  if (error.details.retryAfterMs !== undefined) {
    const retry = RetryInfo.create({ retryDelay: millisToDuration(error.details.retryAfterMs) });
    details.push(anyOf("google.rpc.RetryInfo", RetryInfo.encode(retry).finish()));
  }
  return Status.create({ code: error.code, message: error.message, details });
}

function anyOf(typeName: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/${typeName}`, value: Buffer.from(value) };
}
