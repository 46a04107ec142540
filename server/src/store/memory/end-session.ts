import type { ValidationOutcome } from "../../session/outcome.js";
import { findToken } from "../../session/token-slots.js";
import type {
  ReplaceCommand,
  ReplaceResult,
  RevokeCommand,
  RevokeResult,
} from "../session-store.js";
import type { MemoryPartition } from "./memory-partition.js";
import { isForeign, type MemoryRecord } from "./memory-record.js";
import { REQUEST_ID_REUSED } from "./request-book.js";

/** Ends one session. An expired one too: it might be recovered otherwise. */
export function revokeSession(partition: MemoryPartition, command: RevokeCommand): RevokeResult {
  const nowMs = partition.now();
  const { leaseMaxMs } = partition;
  const record = partition.records.get(command.sessionId);
  if (isForeign(record, command.tenantIds)) {
    return { kind: "not-found" };
  }
  const known = partition.requests.recall(command.request, nowMs);
  if (known !== undefined) {
    return known.kind === "revoke"
      ? { kind: "revoked", revision: known.revision, leaseMaxMs }
      : REQUEST_ID_REUSED;
  }
  if (record === undefined || !holdsToken(record, command.presentedDigest, nowMs)) {
    return { kind: "not-found" };
  }
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "dead" && verdict.revision !== undefined) {
    return { kind: "already-revoked", revision: verdict.revision, leaseMaxMs };
  }
  const { reason, initiatingEntity, reasonUser } = command.cause;
  const revision = partition.revoke(record, {
    end: { reason, atMs: nowMs, initiatingEntity, reasonUser },
    eventId: command.eventId,
    audit: command.audit,
    reasonAdmin: command.cause.reasonAdmin,
  });
  partition.requests.remember(command.request, { kind: "revoke", revision }, nowMs);
  return { kind: "revoked", revision, leaseMaxMs };
}

/**
 * Ends a live session because another took over. The same successor may say so
 * again; a second one may not, so that one anonymous session becomes one login.
 */
export function replaceSession(partition: MemoryPartition, command: ReplaceCommand): ReplaceResult {
  const nowMs = partition.now();
  const record = partition.records.get(command.sessionId);
  const standing = record && findToken(record.tokens, command.presentedDigest, nowMs);
  if (record === undefined || standing === undefined || standing.kind === "unknown") {
    return refuse("not-found");
  }
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "dead") {
    const isRepeat = verdict.successorId === command.successorId;
    return isRepeat && verdict.revision !== undefined
      ? { kind: "replaced", revision: verdict.revision }
      : { ...refuse(verdict.outcome), end: verdict.end };
  }
  if (standing.kind === "retired") {
    return refuse("rotated");
  }
  const revision = partition.revoke(record, {
    end: { reason: "replaced", atMs: nowMs, initiatingEntity: "system", reasonUser: "" },
    eventId: command.eventId,
    successorId: command.successorId,
    audit: command.audit,
  });
  return { kind: "replaced", revision };
}

function holdsToken(record: MemoryRecord, digest: string | undefined, nowMs: number): boolean {
  return digest === undefined || findToken(record.tokens, digest, nowMs).kind !== "unknown";
}

function refuse(outcome: ValidationOutcome): Extract<ReplaceResult, { kind: "refused" }> {
  return { kind: "refused", outcome, end: undefined };
}
