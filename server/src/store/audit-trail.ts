import type { InitiatingEntity, RevocationReason } from "../session/outcome.js";
import type { Revision } from "../session/revision.js";

/** Entries of one stream of one partition that are kept, unless a store is told otherwise. */
export const AUDIT_LENGTH = 20_000;

/** How long an entry is kept at most, in ms: 30 days (DESIGN §9). */
export const AUDIT_RETENTION_MS = 30 * 24 * 3_600_000;

/** The most refused calls that one append takes. */
export const DENIED_BATCH_MAX = 64;

/** The most entries that one read returns, whatever it asks for. */
export const AUDIT_READ_MAX = 1_000;

/** On whose behalf something is changed. */
export interface AuditOrigin {
  /** The full method name, `coatcheck.v1.SessionService/RevokeSession`. */
  readonly method: string;
  /** The calling service; "local" where none is configured. */
  readonly caller: string;
}

/** Which of the two streams of a partition: refusals may not push out changes. */
export type AuditStream = "audit" | "denied";

/** A place in a stream: an instant, and the order of what happened in it. */
export interface AuditPlace {
  readonly atMs: number;
  readonly order: number;
}

/** One thing that somebody did or tried to do. */
export interface AuditEntry extends AuditOrigin {
  readonly place: AuditPlace;
  readonly eventId: string;
  /** Empty where it concerns no single tenant. */
  readonly tenantId: string;
  /** Empty where the session is anonymous, or was created by a version without an audit trail. */
  readonly subject: string;
  readonly sessionId: string;
  readonly reason: RevocationReason;
  readonly initiatingEntity: InitiatingEntity;
  readonly reasonAdmin: string;
  /** Where the partition's log stood after it; undefined for a refusal. */
  readonly revision: Revision | undefined;
  /** The gRPC code of the answer. */
  readonly statusCode: number;
}

/** A call that was refused because of who called. */
export interface DeniedCall extends AuditOrigin {
  readonly eventId: string;
  /** As the caller named it; empty where it named none. */
  readonly tenantId: string;
  readonly sessionId: string;
  /** Why, in a word: `CALLER_NOT_ALLOWED`. */
  readonly reasonAdmin: string;
  readonly statusCode: number;
}

/** What to read: entries before a place, newest first. */
export interface AuditQuery {
  readonly partition: number;
  readonly stream: AuditStream;
  /** Undefined: from the newest. The place itself is left out. */
  readonly before: AuditPlace | undefined;
  /** 1 to `AUDIT_READ_MAX`. */
  readonly limit: number;
}

/**
 * The audit trail. Changes are written by the operations themselves, in the step
 * that makes the change; a repeat that changes nothing leaves no entry. What no
 * call does is not in it: a use, an expiry, the deletion of what had ended.
 *
 * Bounded in length and time, each partition and stream for itself.
 */
export interface AuditTrail {
  /** Appends refused calls, at most `DENIED_BATCH_MAX`. Rejects as the store does; nothing waits for it. */
  appendDenied(partition: number, calls: readonly DeniedCall[]): Promise<void>;
  /** At most `limit` entries, newest first. */
  read(query: AuditQuery): Promise<readonly AuditEntry[]>;
}
