import * as wire from "@coatcheck/proto";
import { SessionAuthorityError } from "../base/errors.js";
import { PARTITION_COUNT, type Revision, type RevisionRange } from "../base/revision.js";
import type {
  BindingMode,
  InitiatingEntity,
  Propagation,
  RevocationReason,
  RotationTrigger,
  Session,
  SessionEnd,
  ValidationOutcome,
} from "../base/session.js";

const OUTCOMES = {
  valid: wire.ValidationOutcome.VALID,
  malformed: wire.ValidationOutcome.MALFORMED,
  "not-found": wire.ValidationOutcome.NOT_FOUND,
  "expired-idle": wire.ValidationOutcome.EXPIRED_IDLE,
  "expired-absolute": wire.ValidationOutcome.EXPIRED_ABSOLUTE,
  revoked: wire.ValidationOutcome.REVOKED,
  rotated: wire.ValidationOutcome.ROTATED,
  "binding-mismatch": wire.ValidationOutcome.BINDING_MISMATCH,
  "insufficient-aal": wire.ValidationOutcome.INSUFFICIENT_AAL,
  "authentication-too-old": wire.ValidationOutcome.AUTHENTICATION_TOO_OLD,
} satisfies Record<ValidationOutcome, wire.ValidationOutcome>;

/** Wire numbers of the reasons of a revocation. */
export const REASONS = {
  unspecified: wire.RevocationReason.UNSPECIFIED,
  "user-logout": wire.RevocationReason.USER_LOGOUT,
  admin: wire.RevocationReason.ADMIN,
  "credential-change": wire.RevocationReason.CREDENTIAL_CHANGE,
  "account-disabled": wire.RevocationReason.ACCOUNT_DISABLED,
  "limit-exceeded": wire.RevocationReason.LIMIT_EXCEEDED,
  "token-reuse": wire.RevocationReason.TOKEN_REUSE,
  "security-policy": wire.RevocationReason.SECURITY_POLICY,
  "client-disconnect": wire.RevocationReason.CLIENT_DISCONNECT,
  replaced: wire.RevocationReason.REPLACED,
} satisfies Record<RevocationReason, wire.RevocationReason>;

/** Wire numbers of who ends a session. */
export const ENTITIES = {
  unspecified: wire.InitiatingEntity.UNSPECIFIED,
  admin: wire.InitiatingEntity.ADMIN,
  user: wire.InitiatingEntity.USER,
  policy: wire.InitiatingEntity.POLICY,
  system: wire.InitiatingEntity.SYSTEM,
} satisfies Record<InitiatingEntity, wire.InitiatingEntity>;

/** Wire numbers of why a token is rotated. */
export const TRIGGERS = {
  periodic: wire.RotationTrigger.PERIODIC,
  login: wire.RotationTrigger.LOGIN,
  reauthentication: wire.RotationTrigger.REAUTHENTICATION,
  "privilege-change": wire.RotationTrigger.PRIVILEGE_CHANGE,
  "credential-change": wire.RotationTrigger.CREDENTIAL_CHANGE,
} satisfies Record<RotationTrigger, wire.RotationTrigger>;

/** Wire numbers of how far a revocation reaches. */
export const PROPAGATIONS = {
  committed: wire.Propagation.COMMITTED,
  replicated: wire.Propagation.REPLICATED,
  everywhere: wire.Propagation.EVERYWHERE,
} satisfies Record<Propagation, wire.Propagation>;

const BINDING_MODES = {
  off: wire.BindingMode.OFF,
  warn: wire.BindingMode.WARN,
  enforce: wire.BindingMode.ENFORCE,
} satisfies Record<BindingMode, wire.BindingMode>;

const OUTCOME_OF = inverse(OUTCOMES);
const REASON_OF = inverse(REASONS);
const ENTITY_OF = inverse(ENTITIES);
const TRIGGER_OF = inverse(TRIGGERS);
const PROPAGATION_OF = inverse(PROPAGATIONS);
const BINDING_MODE_OF = inverse(BINDING_MODES);

const REVISION_PART_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** An answer that cannot be understood. It proves nothing, so nothing may rest on it. */
export function unusable(what: string): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "unusable-reply",
    applied: "unknown",
    message: `Cannot use what the authority answered: ${what}`,
  });
}

/** An outcome this library does not know is no answer. */
export function fromOutcome(value: wire.ValidationOutcome): ValidationOutcome {
  const outcome = OUTCOME_OF.get(value);
  if (outcome === undefined) throw unusable(`the outcome ${value} is unknown`);
  return outcome;
}

/** A reason this library does not know explains nothing; the session has ended all the same. */
export function fromReason(value: wire.RevocationReason): RevocationReason {
  return REASON_OF.get(value) ?? "unspecified";
}

/** An entity this library does not know is unspecified. */
export function fromEntity(value: wire.InitiatingEntity): InitiatingEntity {
  return ENTITY_OF.get(value) ?? "unspecified";
}

/** Undefined where no trigger was given or this library does not know it. */
export function fromTrigger(value: wire.RotationTrigger): RotationTrigger | undefined {
  return TRIGGER_OF.get(value);
}

/** What is not known to be more is COMMITTED: the call returned OK. */
export function fromPropagation(value: wire.Propagation): Propagation {
  return PROPAGATION_OF.get(value) ?? "committed";
}

/** A duration in ms; `absentMs` where there is none. */
export function fromDuration(duration: wire.Duration | undefined, absentMs: number): number {
  if (duration === undefined) return absentMs;
  return Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
}

/** A duration of so many ms. Negative ones are zero. */
export function toDuration(durationMs: number): wire.Duration {
  const wholeMs = Math.max(0, Math.round(durationMs));
  return { seconds: BigInt(Math.floor(wholeMs / 1_000)), nanos: (wholeMs % 1_000) * 1_000_000 };
}

/** An instant in ms since the Unix epoch, or undefined where there is none. */
export function fromTimestamp(timestamp: wire.Timestamp | undefined): number | undefined {
  if (timestamp === undefined) return undefined;
  return Number(timestamp.seconds) * 1_000 + timestamp.nanos / 1_000_000;
}

/** An instant of so many ms since the Unix epoch. */
export function toTimestamp(atMs: number | undefined): wire.Timestamp | undefined {
  if (atMs === undefined) return undefined;
  const seconds = Math.floor(atMs / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((atMs - seconds * 1_000) * 1_000_000) };
}

/** A revision that is there, or an error: the rest of the library compares without checking. */
export function fromRevision(revision: wire.Revision | undefined): Revision {
  const known = fromOptionalRevision(revision);
  if (known === undefined) throw unusable("a revision is missing");
  return known;
}

/** A revision, or undefined where there is none. */
export function fromOptionalRevision(revision: wire.Revision | undefined): Revision | undefined {
  if (revision === undefined) return undefined;
  const { partition, generation, sequence } = revision;
  if (partition >= PARTITION_COUNT) throw unusable(`partition ${partition} is above 15`);
  if (generation > REVISION_PART_MAX || sequence > REVISION_PART_MAX) {
    throw unusable(`revision ${generation}-${sequence} is above 2^53`);
  }
  return { partition, generation: Number(generation), sequence: Number(sequence) };
}

/** A revision as it is sent. */
export function toRevision(revision: Revision): wire.Revision {
  return {
    partition: revision.partition,
    generation: BigInt(revision.generation),
    sequence: BigInt(revision.sequence),
  };
}

/** A range. Both ends lie in one partition. */
export function fromRange(range: wire.Range): RevisionRange {
  const fromExclusive = fromRevision(range.fromExclusive);
  const through = fromRevision(range.through);
  if (fromExclusive.partition !== through.partition) {
    throw unusable(`a range leads from partition ${fromExclusive.partition} to another`);
  }
  return { fromExclusive, through };
}

/** How a session ended, or undefined while it lives. */
export function fromSessionEnd(end: wire.SessionEnd | undefined): SessionEnd | undefined {
  if (end === undefined) return undefined;
  return Object.freeze({
    reason: fromReason(end.reason),
    atMs: fromTimestamp(end.at),
    initiatingEntity: fromEntity(end.initiatingEntity),
    reasonUser: end.reasonUser,
  });
}

/** A session that is there. Frozen: many callers share what is cached. */
export function fromSession(session: wire.Session | undefined): Session {
  if (session === undefined) throw unusable("the session is missing");
  const { device, bindingPolicy } = session;
  return Object.freeze({
    sessionId: session.sessionId,
    tenantId: session.tenantId,
    subject: session.subject,
    state: fromState(session.state),
    createdAtMs: fromTimestamp(session.createdAt) ?? 0,
    authenticatedAtMs: fromTimestamp(session.authenticatedAt),
    lastSeenAtMs: fromTimestamp(session.lastSeenAt) ?? 0,
    idleExpiresAtMs: fromTimestamp(session.idleExpiresAt),
    absoluteExpiresAtMs: fromTimestamp(session.absoluteExpiresAt) ?? 0,
    updatedAtMs: fromTimestamp(session.updatedAt) ?? 0,
    version: Number(session.version),
    policy: session.policy,
    clientId: session.clientId,
    origin: session.origin,
    device: Object.freeze({
      id: device?.id ?? "",
      name: device?.name ?? "",
      ipAddress: device?.ipAddress ?? "",
      userAgent: device?.userAgent ?? "",
    }),
    bindingPolicy: Object.freeze({
      ipAddress: fromBindingMode(bindingPolicy?.ipAddress),
      userAgent: fromBindingMode(bindingPolicy?.userAgent),
      deviceId: fromBindingMode(bindingPolicy?.deviceId),
    }),
    aal: session.aal,
    amr: Object.freeze([...session.amr]),
    actor: session.actor,
    attributes: new FrozenMap(session.attributes),
    replacesSessionId: session.replacesSessionId,
    ended: fromSessionEnd(session.ended),
  });
}

/** A map that is what it was when it was made. */
class FrozenMap extends Map<string, string> {
  #frozen = false;

  constructor(entries: Iterable<readonly [string, string]>) {
    super();
    for (const [key, value] of entries) super.set(key, value);
    this.#frozen = true;
  }

  override set(key: string, value: string): this {
    this.#refuse();
    return super.set(key, value);
  }

  override delete(key: string): boolean {
    this.#refuse();
    return super.delete(key);
  }

  override clear(): void {
    this.#refuse();
    super.clear();
  }

  #refuse(): void {
    if (this.#frozen) throw new TypeError("Cannot change the attributes of a session: call update");
  }
}

function fromState(state: wire.SessionState): Session["state"] {
  switch (state) {
    case wire.SessionState.ACTIVE:
      return "active";
    case wire.SessionState.REVOKED:
      return "revoked";
    case wire.SessionState.EXPIRED:
      return "expired";
    case wire.SessionState.UNSPECIFIED:
      throw unusable("the session has no state");
    default:
      throw unusable(`the session state ${String(state)} is unknown`);
  }
}

/** A mode this library does not know is enforced: it would not be there to be ignored. */
function fromBindingMode(mode: wire.BindingMode | undefined): BindingMode {
  if (mode === undefined || mode === wire.BindingMode.UNSPECIFIED) return "off";
  return BINDING_MODE_OF.get(mode) ?? "enforce";
}

function inverse<K extends string>(table: Record<K, number>): ReadonlyMap<number, K> {
  // Object.entries forgets the names of the keys; the tables are complete by their types.
  return new Map((Object.entries(table) as [K, number][]).map(([key, value]) => [value, key]));
}
