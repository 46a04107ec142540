import type { CheckedFacts } from "../../session/checks.js";
import { idleDeadlineMs } from "../../session/liveness.js";
import type { SessionEnd, ValidationOutcome } from "../../session/outcome.js";
import type { SessionPolicy } from "../../session/policy.js";
import type { Revision } from "../../session/revision.js";
import type { TokenSlots } from "../../session/token-slots.js";
import type { CreateCommand, SessionRecord } from "../session-store.js";

/** A session as the memory store keeps it. What never changes after creation is readonly. */
export interface MemoryRecord {
  readonly sessionId: string;
  readonly tenantId: string;
  readonly subject: string;
  readonly clientId: string;
  readonly subjectKey: string | undefined;
  readonly tenantKey: string;
  readonly clientKey: string;
  readonly device: CreateCommand["device"];
  readonly policy: SessionPolicy;
  readonly idleTimeoutMs: number;
  readonly touchIntervalMs: number;
  readonly createdAtMs: number;
  readonly absoluteDeadlineMs: number;
  facts: Buffer;
  checked: CheckedFacts;
  lastSeenAtMs: number;
  updatedAtMs: number;
  version: number;
  issued: Revision;
  tokens: TokenSlots;
  recoveryDigest: string | undefined;
  /** The last PERIODIC rotation, for whoever presents the token it left in grace. */
  handOut: HandOut | undefined;
  ended: RecordedEnd | undefined;
}

/** A successor that can be handed out again. */
export interface HandOut {
  readonly nonce: string;
  readonly successorDigest: string;
  readonly revision: Revision;
}

/** An end that was written into the record. Nothing takes it out again (S-08). */
export interface RecordedEnd {
  readonly outcome: ValidationOutcome;
  readonly end: SessionEnd;
  /** The event that ended it; undefined for an expiry, which has none. */
  readonly revision: Revision | undefined;
  /** The session that took over, where one did. */
  readonly successorId: string | undefined;
}

/** Whether a session is live, or else what it answers and why. */
export type Verdict = { readonly kind: "live" } | ({ readonly kind: "dead" } & RecordedEnd);

/**
 * Whether a session is none of the tenants that a caller may touch, where it may
 * not touch every one. To such a caller it does not exist (S-28). What is gone may
 * have been anybody's, so what is remembered of it is told to nobody else.
 */
export function isForeign(
  record: MemoryRecord | undefined,
  tenantIds: readonly string[] | undefined,
): boolean {
  return tenantIds !== undefined && !tenantIds.some((id) => id === record?.tenantId);
}

/** The record as the contract shows it. */
export function toSessionRecord(
  record: MemoryRecord,
  verdict: Verdict,
  nowMs: number,
): SessionRecord {
  return {
    sessionId: record.sessionId,
    facts: record.facts,
    state: stateOf(verdict),
    createdAtMs: record.createdAtMs,
    lastSeenAtMs: record.lastSeenAtMs,
    idleTimeoutMs: record.idleTimeoutMs,
    absoluteDeadlineMs: record.absoluteDeadlineMs,
    updatedAtMs: record.updatedAtMs,
    version: record.version,
    issued: record.issued,
    end: verdict.kind === "live" ? undefined : verdict.end,
    nowMs,
  };
}

/**
 * From when on a dead session's record may be deleted: after its retention, and
 * for one that died by idleness alone after the window in which it can be
 * recovered.
 */
export function retainedUntilMs(record: MemoryRecord, dead: RecordedEnd): number {
  const { retentionMs, recoveryWindowMs } = record.policy;
  return dead.outcome === "expired-idle" && recoveryWindowMs > 0
    ? idleDeadlineMs(record) + recoveryWindowMs
    : dead.end.atMs + retentionMs;
}

/** Whether a dead session can still be recovered, and so stays in its subject's index. */
export function isRecoverable(record: MemoryRecord, dead: RecordedEnd, nowMs: number): boolean {
  return (
    dead.outcome === "expired-idle" &&
    record.policy.recoveryWindowMs > 0 &&
    nowMs < retainedUntilMs(record, dead)
  );
}

function stateOf(verdict: Verdict): SessionRecord["state"] {
  if (verdict.kind === "live") {
    return "active";
  }
  const hasExpired = verdict.outcome === "expired-idle" || verdict.outcome === "expired-absolute";
  return hasExpired ? "expired" : "revoked";
}
