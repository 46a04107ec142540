import {
  BindingMode as WireBindingMode,
  type BindingPolicy,
  type Duration,
  InitiatingEntity as WireEntity,
  type Revision as WireRevision,
  RevocationReason as WireReason,
  RotationTrigger as WireTrigger,
  type SessionEnd as WireSessionEnd,
  type Timestamp,
  ValidationOutcome as WireOutcome,
} from "@coatcheck/proto";

import type {
  InitiatingEntity,
  RevocationReason,
  RotationTrigger,
  SessionEnd,
  ValidationOutcome,
} from "../session/outcome.js";
import type { BindingMode, SessionPolicy } from "../session/policy.js";
import type { Revision } from "../session/revision.js";

const OUTCOMES: Readonly<Record<ValidationOutcome, WireOutcome>> = {
  valid: WireOutcome.VALID,
  malformed: WireOutcome.MALFORMED,
  "not-found": WireOutcome.NOT_FOUND,
  "expired-idle": WireOutcome.EXPIRED_IDLE,
  "expired-absolute": WireOutcome.EXPIRED_ABSOLUTE,
  revoked: WireOutcome.REVOKED,
  rotated: WireOutcome.ROTATED,
  "binding-mismatch": WireOutcome.BINDING_MISMATCH,
  "insufficient-aal": WireOutcome.INSUFFICIENT_AAL,
  "authentication-too-old": WireOutcome.AUTHENTICATION_TOO_OLD,
};

const REASONS: Readonly<Record<RevocationReason, WireReason>> = {
  unspecified: WireReason.UNSPECIFIED,
  "user-logout": WireReason.USER_LOGOUT,
  admin: WireReason.ADMIN,
  "credential-change": WireReason.CREDENTIAL_CHANGE,
  "account-disabled": WireReason.ACCOUNT_DISABLED,
  "limit-exceeded": WireReason.LIMIT_EXCEEDED,
  "token-reuse": WireReason.TOKEN_REUSE,
  "security-policy": WireReason.SECURITY_POLICY,
  "client-disconnect": WireReason.CLIENT_DISCONNECT,
  replaced: WireReason.REPLACED,
};

const ENTITIES: Readonly<Record<InitiatingEntity, WireEntity>> = {
  unspecified: WireEntity.UNSPECIFIED,
  admin: WireEntity.ADMIN,
  user: WireEntity.USER,
  policy: WireEntity.POLICY,
  system: WireEntity.SYSTEM,
};

const TRIGGERS: Readonly<Record<RotationTrigger, WireTrigger>> = {
  periodic: WireTrigger.PERIODIC,
  login: WireTrigger.LOGIN,
  reauthentication: WireTrigger.REAUTHENTICATION,
  "privilege-change": WireTrigger.PRIVILEGE_CHANGE,
  "credential-change": WireTrigger.CREDENTIAL_CHANGE,
};

const BINDING_MODES: Readonly<Record<BindingMode, WireBindingMode>> = {
  off: WireBindingMode.OFF,
  warn: WireBindingMode.WARN,
  enforce: WireBindingMode.ENFORCE,
};

const REASONS_BY_NUMBER = byNumber(REASONS);
const ENTITIES_BY_NUMBER = byNumber(ENTITIES);
const TRIGGERS_BY_NUMBER = byNumber(TRIGGERS);

/** The outcome on the wire. */
export function toWireOutcome(outcome: ValidationOutcome): WireOutcome {
  return OUTCOMES[outcome];
}

/** The reason on the wire. */
export function toWireReason(reason: RevocationReason): WireReason {
  return REASONS[reason];
}

/** The entity on the wire. */
export function toWireEntity(entity: InitiatingEntity): WireEntity {
  return ENTITIES[entity];
}

/** The trigger on the wire. */
export function toWireTrigger(trigger: RotationTrigger): WireTrigger {
  return TRIGGERS[trigger];
}

/** The reason a number stands for; undefined for a number the contract does not know. */
export function fromWireReason(reason: number): RevocationReason | undefined {
  return REASONS_BY_NUMBER.get(reason);
}

/** The entity a number stands for; undefined for a number the contract does not know. */
export function fromWireEntity(entity: number): InitiatingEntity | undefined {
  return ENTITIES_BY_NUMBER.get(entity);
}

/** The trigger a number stands for; undefined for UNSPECIFIED, which is refused, and unknown ones. */
export function fromWireTrigger(trigger: number): RotationTrigger | undefined {
  return TRIGGERS_BY_NUMBER.get(trigger);
}

/** What a policy compares with the device, on the wire. */
export function toWireBindingPolicy(binding: SessionPolicy["binding"]): BindingPolicy {
  return {
    ipAddress: BINDING_MODES[binding.ipAddress],
    userAgent: BINDING_MODES[binding.userAgent],
    deviceId: BINDING_MODES[binding.deviceId],
  };
}

/** A revision on the wire. */
export function toWireRevision(revision: Revision): WireRevision {
  return {
    partition: revision.partition,
    generation: BigInt(revision.generation),
    sequence: BigInt(revision.sequence),
  };
}

/** A revision from the wire. Its numbers have been checked to be below 2^53. */
export function fromWireRevision(revision: WireRevision): Revision {
  return {
    partition: revision.partition,
    generation: Number(revision.generation),
    sequence: Number(revision.sequence),
  };
}

/** The end of a session on the wire. */
export function toWireEnd(end: SessionEnd): WireSessionEnd {
  return {
    reason: toWireReason(end.reason),
    at: millisToTimestamp(end.atMs),
    initiatingEntity: toWireEntity(end.initiatingEntity),
    reasonUser: end.reasonUser,
  };
}

/** A duration of whole milliseconds, zero or more. */
export function millisToDuration(durationMs: number): Duration {
  const { seconds, nanos } = splitMillis(durationMs);
  return { seconds: BigInt(seconds), nanos };
}

/** An instant in whole milliseconds since the Unix epoch. */
export function millisToTimestamp(atMs: number): Timestamp {
  const { seconds, nanos } = splitMillis(atMs);
  return { seconds: BigInt(seconds), nanos };
}

/** Milliseconds, rounded down. The value has been checked to be valid and not negative. */
export function floorMillis(value: Duration | Timestamp): number {
  return Number(value.seconds) * 1000 + Math.floor(value.nanos / 1_000_000);
}

/** Milliseconds, rounded up. The value has been checked to be valid and not negative. */
export function ceilMillis(value: Duration | Timestamp): number {
  return Number(value.seconds) * 1000 + Math.ceil(value.nanos / 1_000_000);
}

/** Whole seconds and the nanoseconds that remain of whole, non-negative milliseconds. */
export function splitMillis(millis: number): { seconds: number; nanos: number } {
  const seconds = Math.floor(millis / 1000);
  return { seconds, nanos: (millis - seconds * 1000) * 1_000_000 };
}

function byNumber<Name extends string>(
  numbers: Readonly<Record<Name, number>>,
): ReadonlyMap<number, Name> {
  const names = Object.keys(numbers) as Name[];
  return new Map(names.map((name) => [numbers[name], name]));
}
