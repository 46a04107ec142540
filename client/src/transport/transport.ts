import type { SyncReply, WatchMessage } from "../base/event.js";
import type { Revision } from "../base/revision.js";
import type {
  Device,
  InitiatingEntity,
  Propagation,
  RevocationReason,
  RotationTrigger,
  Session,
  SessionEnd,
  ValidationOutcome,
  ValidationReply,
} from "../base/session.js";
import type { SessionAuthorityError } from "../base/errors.js";

/** How long a call may take, and who may end it sooner. */
export interface CallOptions {
  /** From now until the call fails with `timeout`, in ms. Retries are inside it. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A question about one token. */
export interface ValidateCall {
  readonly tenantId: string;
  readonly token: string;
  /** Whether a VALID answer counts as a use. */
  readonly touch: boolean;
  readonly minRevision: Revision | undefined;
}

/** A use that was answered from memory. */
export interface SessionUse {
  readonly sessionId: string;
  /** SHA-256 of the token, lower-case hex. */
  readonly digest: string;
  /** How long ago it was, in ms. */
  readonly idleForMs: number;
}

/** A session to create. */
export interface CreateCall {
  readonly tenantId: string;
  readonly subject: string;
  readonly policy: string;
  readonly clientId: string;
  readonly device: Partial<Device>;
  readonly origin: string;
  readonly aal: number;
  readonly amr: readonly string[];
  readonly authenticatedAtMs: number | undefined;
  readonly attributes: ReadonlyMap<string, string>;
  readonly actor: string;
  readonly requestId: string;
  readonly retrySecret: Buffer;
}

/** What was created. */
export interface CreateReply {
  readonly session: Session;
  readonly token: string;
  /** Empty where the policy does not allow recovery. */
  readonly recoveryToken: string;
  /** The sessions that had to go. */
  readonly evicted: readonly string[];
  readonly revision: Revision | undefined;
}

/** Whose sessions to list. */
export interface ListCall {
  readonly tenantId: string;
  readonly subject: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** A page of live sessions, oldest first. */
export interface ListReply {
  readonly sessions: readonly Session[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** What to change of a session's attributes. */
export interface UpdateCall {
  readonly sessionId: string;
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
  readonly expectedVersion: number | undefined;
  readonly invalidateCaches: boolean;
  readonly requestId: string;
}

/** The changed session. */
export interface UpdateReply {
  readonly session: Session;
  readonly revision: Revision | undefined;
}

/** Which token to replace and why. */
export interface RotateCall {
  readonly token: string;
  readonly trigger: RotationTrigger;
  /** Empty: the session keeps its subject. */
  readonly bindSubject: string;
  readonly aal: number;
  readonly amr: readonly string[];
  readonly authenticatedAtMs: number | undefined;
  readonly requestId: string;
}

/** The successor, or why there is none. */
export interface RotateReply {
  readonly outcome: ValidationOutcome;
  readonly session: Session | undefined;
  readonly token: string;
  readonly recoveryToken: string;
  readonly previousValidForMs: number;
  readonly revision: Revision | undefined;
  /** The end of the anonymous session that was replaced. */
  readonly replacedRevision: Revision | undefined;
  readonly ended: SessionEnd | undefined;
}

/** Why sessions are ended, and how far that must reach before the call returns. */
export interface RevocationWords {
  readonly reason: RevocationReason;
  readonly initiatingEntity: InitiatingEntity;
  readonly reasonAdmin: string;
  readonly reasonUser: string;
  readonly propagation: Propagation;
  readonly requestId: string;
}

/** Which session to end. */
export interface RevokeCall extends RevocationWords {
  readonly target:
    | { readonly kind: "session-id"; readonly sessionId: string }
    | { readonly kind: "token"; readonly token: string };
}

/** What became of a revocation. */
export interface RevokeReply {
  readonly found: boolean;
  readonly alreadyRevoked: boolean;
  readonly revision: Revision | undefined;
  /** Never more than was confirmed. */
  readonly achieved: Propagation;
  /** After this long no cache can accept the session, in ms. */
  readonly effectiveWithinMs: number;
}

/** Whose sessions to end. */
export interface RevokeSubjectCall extends RevocationWords {
  readonly tenantId: string;
  readonly subject: string;
  readonly scope:
    | { readonly kind: "all" }
    | { readonly kind: "except"; readonly sessionId: string }
    | { readonly kind: "device"; readonly deviceId: string };
}

/** What became of the revocation of a subject's sessions. */
export interface RevokeSubjectReply {
  readonly revokedCountEstimate: number;
  readonly revision: Revision | undefined;
  readonly achieved: Propagation;
  readonly effectiveWithinMs: number;
}

/** Who follows the log, and from where. */
export interface FollowCall {
  readonly position: readonly Revision[];
  readonly tenantIds: readonly string[];
  /** The deployment the position comes from; empty without a position. */
  readonly deploymentId: string;
  readonly clientName: string;
  readonly instanceId: string;
  readonly sdkVersion: string;
}

/** A Sync. */
export interface SyncCall extends FollowCall {
  /** Whether any call site accepts stale answers. */
  readonly staleAllowed: boolean;
  /** How many were accepted since the Sync before. */
  readonly staleAccepts: number;
}

/** Who is told of what a stream says. Nothing is called after `onEnd`. */
export interface WatchListener {
  onMessage(message: WatchMessage): void;
  /** Called once, however the stream ended; the error says how. */
  onEnd(error: SessionAuthorityError): void;
}

/** An open stream. */
export interface WatchStream {
  /** Ends it. Nothing is called any more, `onEnd` neither. */
  cancel(): void;
}

/**
 * The authority, as this library sees it: its own types, promises and one
 * error class.
 *
 * Every promise rejects with a `SessionAuthorityError` and nothing else. An
 * implementation retries what failed as `unavailable`, with the same request
 * id and within the deadline, at another replica where there is one; nothing
 * else is retried.
 */
export interface Transport {
  validate(call: ValidateCall, options: CallOptions): Promise<ValidationReply>;
  /** Reports uses, at most 1,000; outcomes in order. */
  touch(uses: readonly SessionUse[], options: CallOptions): Promise<readonly ValidationOutcome[]>;
  create(call: CreateCall, options: CallOptions): Promise<CreateReply>;
  get(sessionId: string, options: CallOptions): Promise<Session>;
  list(call: ListCall, options: CallOptions): Promise<ListReply>;
  update(call: UpdateCall, options: CallOptions): Promise<UpdateReply>;
  rotate(call: RotateCall, options: CallOptions): Promise<RotateReply>;
  revoke(call: RevokeCall, options: CallOptions): Promise<RevokeReply>;
  revokeSubject(call: RevokeSubjectCall, options: CallOptions): Promise<RevokeSubjectReply>;
  /** Never retried inside: its caller asks again, and counts the lease from then. */
  sync(call: SyncCall, options: CallOptions): Promise<SyncReply>;
  watch(call: FollowCall, listener: WatchListener): WatchStream;
  /** Ends everything that is open. Calls in flight reject. */
  close(): void;
}
