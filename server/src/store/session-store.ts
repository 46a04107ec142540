import type {
  BindingField,
  BindingPresented,
  CheckedFacts,
  RequirementsAsked,
} from "../session/checks.js";
import type {
  InitiatingEntity,
  RevocationReason,
  RotationTrigger,
  SessionEnd,
  ValidationOutcome,
} from "../session/outcome.js";
import type { SessionPolicy } from "../session/policy.js";
import type { Revision } from "../session/revision.js";
import type { AuditOrigin } from "./audit-trail.js";

export type {
  BindingField,
  BindingPresented,
  CheckedFacts,
  RequirementsAsked,
} from "../session/checks.js";

/**
 * Durable session state.
 *
 * Every method is one atomic step in one partition: a reader sees all of a
 * call's effects or none of them. An unknown, expired or revoked session is an
 * answer. A promise rejects only with an error of `store-error.ts`; with
 * `StoreUnavailableError.applied === "unknown"` the effect may or may not have
 * happened, and a repeat with the same `request` settles it.
 *
 * Time is the store's own and never goes back. `live(s)` = exists, not ended,
 * issued at or after every cutoff that covers it, and before both deadlines.
 * Every mutation requires it, except that `revoke` takes any unrevoked record.
 *
 * `test/contract/` states this contract as tests; every implementation runs them.
 */
export interface SessionStore {
  /** Creates a session; prunes and applies the subject's limit in the same step. */
  create(command: CreateCommand): Promise<CreateResult>;
  /** Answers one token and, for a VALID one in touch mode, records the use. */
  validate(command: ValidateCommand): Promise<ValidateReply>;
  /** Answers many tokens of one partition, each as if it were alone, in order. */
  validateBatch(
    partition: number,
    commands: readonly ValidateCommand[],
  ): Promise<readonly ValidateReply[]>;
  /**
   * Records uses of sessions of one partition; outcomes in order. Where tenants are
   * given, a session of another one is not found.
   */
  touch(
    partition: number,
    uses: readonly SessionUse[],
    tenantIds?: readonly string[],
  ): Promise<readonly ValidationOutcome[]>;
  /** The record, live or ended, or undefined where there is none. Writes nothing. */
  read(sessionId: string): Promise<SessionRecord | undefined>;
  /** One page of a subject's live sessions, oldest first. */
  list(query: ListQuery): Promise<ListPage>;
  /** Replaces the facts of a live session under a version check. */
  update(command: UpdateCommand): Promise<UpdateResult>;
  /** Installs a successor token, or hands out the one that was installed. */
  rotate(command: RotateCommand): Promise<RotateResult>;
  /** Ends a live session because `successorId` took over, once. */
  replace(command: ReplaceCommand): Promise<ReplaceResult>;
  /** Ends one session. */
  revoke(command: RevokeCommand): Promise<RevokeResult>;
  /** Ends many sessions of one partition by a cutoff, in O(1). */
  revokeScope(command: RevokeScopeCommand): Promise<RevokeScopeResult>;
  /** One bounded batch of ending a subject's sessions on one device. */
  revokeDevice(command: RevokeDeviceCommand): Promise<RevokeDeviceResult>;
  /** Deletes records whose retention is over, at most `limit`; returns how many it looked at. */
  reap(partition: number, limit: number): Promise<number>;
}

/**
 * Makes a mutation repeatable for ten minutes.
 *
 * `key` is the digest of (method, tenant or session id, presented token and
 * trigger where there are any, request id); `argumentsDigest` covers the
 * arguments that decide the effect. It is looked up before anything else.
 */
export interface RequestRecord {
  readonly key: string;
  readonly argumentsDigest: string;
}

/** The request id was used before with other arguments. Nothing was applied. */
export interface RequestIdReused {
  readonly kind: "request-id-reused";
}

/** What a mutation says of who asked for it. */
interface Audited {
  /** Undefined: the change leaves no entry in the audit trail. */
  readonly audit?: AuditOrigin | undefined;
}

/** What the store says of a session. */
export interface SessionRecord {
  readonly sessionId: string;
  /** The encoded `Session` without anything a script sets. Opaque to the store. */
  readonly facts: Buffer;
  readonly state: "active" | "revoked" | "expired";
  readonly createdAtMs: number;
  readonly lastSeenAtMs: number;
  /** 0: no idle timeout. */
  readonly idleTimeoutMs: number;
  readonly absoluteDeadlineMs: number;
  readonly updatedAtMs: number;
  readonly version: number;
  readonly issued: Revision;
  /** Present where `state` is not `active`. */
  readonly end: SessionEnd | undefined;
  /** The store's time when the record was read. */
  readonly nowMs: number;
}

/** A session to create. */
export interface CreateCommand extends Audited {
  /** Carries the partition: the subject's, or any for an anonymous session. */
  readonly sessionId: string;
  readonly tenantId: string;
  /** Empty: anonymous; no index, no limit, no subject cutoff. */
  readonly subject: string;
  readonly clientId: string;
  readonly device: {
    readonly id: string;
    readonly ipAddress: string;
    readonly userAgent: string;
  };
  readonly policy: SessionPolicy;
  readonly checked: CheckedFacts;
  readonly facts: Buffer;
  /** SHA-256 of the token, lower-case hex. */
  readonly tokenDigest: string;
  /** What the token was derived with, lower-case hex; kept with the request, never secret. */
  readonly nonce: string;
  /** SHA-256 of the recovery token, lower-case hex, where the policy allows recovery. */
  readonly recoveryDigest: string | undefined;
  readonly request: RequestRecord | undefined;
  /**
   * Live sessions of the tenant, in all partitions; undefined: any number. Each
   * partition refuses above its share, see `session/tenant-cap.ts`.
   */
  readonly tenantSessionsMax?: number | undefined;
  /**
   * Digest of what the session takes over from, where that may be taken over once: for ten
   * minutes no other is created under it while the session lives.
   */
  readonly claim?: string;
  /** Base of the event ids of evictions. */
  readonly eventId: string;
}

/** What became of a creation. */
export type CreateResult =
  | {
      readonly kind: "created";
      /** The first call's, where this is a repeat. */
      readonly sessionId: string;
      readonly nonce: string;
      readonly tokenDigest: string;
      readonly evicted: readonly string[];
      readonly revision: Revision;
      readonly record: SessionRecord;
      /** Whether an earlier call with the same request did the work. */
      readonly repeated: boolean;
    }
  | { readonly kind: "limit-reached"; readonly liveSessions: number }
  /** The tenant has its share of sessions in this partition. Nothing was written or evicted. */
  | { readonly kind: "tenant-full" }
  /** Applied before, and the session is no longer live or its token no longer current or in grace. */
  | { readonly kind: "superseded"; readonly sessionId: string }
  /** Another call created a session under the same claim, and it lives. Nothing was applied. */
  | { readonly kind: "claimed"; readonly sessionId: string }
  | RequestIdReused;

/** A token to answer. */
export interface ValidateCommand {
  readonly sessionId: string;
  /** SHA-256 of the token, lower-case hex. */
  readonly tokenDigest: string;
  readonly tenantId: string;
  /** Whether a VALID outcome counts as a use. */
  readonly touch: boolean;
  /** Where not empty, the session's client must be among them. */
  readonly audienceClientIds: readonly string[];
  readonly binding: BindingPresented | undefined;
  readonly requirements: RequirementsAsked | undefined;
  /** The reply must be at least this new, or `StoreBehindError`. */
  readonly minRevision: Revision | undefined;
}

/**
 * The answer for one token. Checks in order: exists, tenant, secret, audience,
 * ended (a session ended with reason `replaced` answers `rotated`), cutoffs,
 * absolute deadline, idle deadline, retired token (`rotated`), binding,
 * requirements (aal and amr, then age).
 */
export interface ValidateReply {
  readonly outcome: ValidationOutcome;
  /** The head of the log at which the answer was computed. */
  readonly asOf: Revision;
  /** Only where `outcome` is `valid`. */
  readonly record: SessionRecord | undefined;
  /** Only where `valid`; undefined where the issuer did not say. */
  readonly authenticatedAtMs: number | undefined;
  /** Only where `valid` and the token is a previous one: what is left of its grace. */
  readonly graceLeftMs: number | undefined;
  /** How the session ended, where it did: also with `rotated` for a replaced one. */
  readonly end: SessionEnd | undefined;
  readonly bindingWarnings: readonly BindingField[];
}

/** A use that a cache answered. */
export interface SessionUse {
  readonly sessionId: string;
  readonly tokenDigest: string;
  readonly idleForMs: number;
}

/** Whose sessions to list, and where to go on. */
export interface ListQuery {
  readonly tenantId: string;
  readonly subject: string;
  readonly limit: number;
  readonly after: ListCursor | undefined;
}

/** A place in a subject's index. */
export interface ListCursor {
  readonly createdAtMs: number;
  readonly sessionId: string;
}

/** A page; it may be short and still not be the last. */
export interface ListPage {
  readonly records: readonly SessionRecord[];
  readonly next: ListCursor | undefined;
}

/** New facts for a session. */
export interface UpdateCommand extends Audited {
  readonly sessionId: string;
  /** Undefined: the new facts equal the old ones, so nothing is to be written. */
  readonly facts: Buffer | undefined;
  /** The version the facts were read at. */
  readonly expectedVersion: number;
  /** Whether a `changed` event is appended. */
  readonly invalidateCaches: boolean;
  readonly request: RequestRecord | undefined;
  readonly eventId: string;
}

/** What became of an update. */
export type UpdateResult =
  | { readonly kind: "updated"; readonly record: SessionRecord; readonly revision: Revision }
  | { readonly kind: "version-conflict"; readonly version: number }
  | { readonly kind: "not-live"; readonly record: SessionRecord }
  | { readonly kind: "not-found" }
  | RequestIdReused;

/** A successor token to install. */
export interface RotateCommand extends Audited {
  readonly sessionId: string;
  /** Where given, a session of another tenant is not found. */
  readonly tenantIds?: readonly string[] | undefined;
  readonly presentedDigest: string;
  readonly trigger: RotationTrigger;
  readonly successorDigest: string;
  /** 16 bytes, lower-case hex: the successor is derived from it and the presented token. */
  readonly nonce: string;
  readonly recoveryDigest: string | undefined;
  /** New facts with the version they were read at; never with `periodic`. */
  readonly raised:
    | { readonly facts: Buffer; readonly expectedVersion: number; readonly checked: CheckedFacts }
    | undefined;
  readonly request: RequestRecord | undefined;
  readonly eventId: string;
}

/** What became of a rotation. */
export type RotateResult =
  | {
      readonly kind: "rotated";
      /** What the successor is derived with: the command's nonce, or an earlier one's. */
      readonly nonce: string;
      readonly successorDigest: string;
      readonly revision: Revision;
      readonly record: SessionRecord;
      /** How long the presented token stays valid; 0 unless the trigger is `periodic`. */
      readonly previousValidForMs: number;
    }
  | {
      readonly kind: "refused";
      /** Never `valid`. `revoked` with `revision` where this very call detected reuse. */
      readonly outcome: ValidationOutcome;
      readonly end: SessionEnd | undefined;
      readonly revision: Revision | undefined;
    }
  | { readonly kind: "version-conflict"; readonly version: number }
  | { readonly kind: "superseded"; readonly sessionId: string }
  | RequestIdReused;

/** An anonymous session that a new one takes over from. */
export interface ReplaceCommand extends Audited {
  readonly sessionId: string;
  /** Must be a valid token of the live session. */
  readonly presentedDigest: string;
  readonly successorId: string;
  readonly eventId: string;
}

/** What became of a replacement. */
export type ReplaceResult =
  /** Also where the same successor had replaced it before. */
  | { readonly kind: "replaced"; readonly revision: Revision }
  | {
      readonly kind: "refused";
      readonly outcome: ValidationOutcome;
      readonly end: SessionEnd | undefined;
    };

/** Why and by whom sessions are ended. */
export interface RevocationCause {
  readonly reason: RevocationReason;
  readonly initiatingEntity: InitiatingEntity;
  readonly reasonAdmin: string;
  readonly reasonUser: string;
}

/** A session to end. */
export interface RevokeCommand extends Audited {
  readonly sessionId: string;
  /** Where given, a session of another tenant is not found. */
  readonly tenantIds?: readonly string[] | undefined;
  /** Where given it must be a current, previous or retired token of the session. */
  readonly presentedDigest: string | undefined;
  readonly cause: RevocationCause;
  readonly request: RequestRecord | undefined;
  readonly eventId: string;
}

/** What became of a revocation. `leaseMaxMs`: the largest staleness bound ever granted. */
export type RevokeResult =
  | {
      readonly kind: "revoked" | "already-revoked";
      readonly revision: Revision;
      readonly leaseMaxMs: number;
    }
  | { readonly kind: "not-found" }
  | RequestIdReused;

/** Which sessions a cutoff covers. */
export type RevocationScope =
  | {
      readonly kind: "subject";
      readonly tenantId: string;
      readonly subject: string;
      /** Spared and re-stamped; must be live and belong to the subject. */
      readonly exceptSessionId: string | undefined;
    }
  | {
      readonly kind: "tenant";
      readonly tenantId: string;
      readonly clientId: string;
      readonly createdBeforeMs: number | undefined;
    }
  | { readonly kind: "all" };

/** Sessions to end by a cutoff. */
export interface RevokeScopeCommand extends Audited {
  readonly partition: number;
  readonly scope: RevocationScope;
  readonly cause: RevocationCause;
  readonly request: RequestRecord | undefined;
  readonly eventId: string;
}

/** What became of a cutoff. */
export type RevokeScopeResult =
  | {
      readonly kind: "revoked";
      readonly revision: Revision;
      /** From the subject's index; 0 for the wider scopes. */
      readonly countEstimate: number;
      readonly leaseMaxMs: number;
    }
  | { readonly kind: "except-not-live" }
  | { readonly kind: "too-many-cutoffs"; readonly limit: number }
  | RequestIdReused;

/** One batch of ending a subject's sessions on one device. */
export interface RevokeDeviceCommand extends Audited {
  readonly tenantId: string;
  readonly subject: string;
  readonly deviceId: string;
  /** Undefined for the first batch, then `next` of the batch before. */
  readonly progress: DeviceProgress | undefined;
  readonly cause: RevocationCause;
  readonly request: RequestRecord | undefined;
  readonly eventId: string;
}

/** How far a device revocation got, and what it noted at its first batch. */
export interface DeviceProgress {
  readonly notedHead: Revision;
  /** Sessions created after it are spared: they are logins after the call. */
  readonly notedAtMs: number;
  readonly after: ListCursor | undefined;
  readonly revokedCount: number;
  readonly revision: Revision;
}

/** What became of a batch. A repeat goes on from where the first attempt got to. */
export type RevokeDeviceResult =
  | {
      readonly kind: "progress";
      readonly finished: boolean;
      readonly progress: DeviceProgress;
      readonly leaseMaxMs: number;
    }
  | RequestIdReused;
