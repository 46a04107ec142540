import type { ValidationOutcome } from "../../session/outcome.js";
import { decideRotation } from "../../session/rotation.js";
import { findToken, succeedAtOnce, succeedWithGrace } from "../../session/token-slots.js";
import type { RotateCommand, RotateResult } from "../session-store.js";
import { type MemoryPartition, whose } from "./memory-partition.js";
import { type HandOut, isForeign, type MemoryRecord } from "./memory-record.js";
import { REQUEST_ID_REUSED } from "./request-book.js";

/** A rotation of a session that is there, at an instant. */
interface Rotation {
  readonly partition: MemoryPartition;
  readonly record: MemoryRecord;
  readonly command: RotateCommand;
  readonly nowMs: number;
}

/** Installs a successor token, or hands out the one that was installed. */
export function rotateSession(partition: MemoryPartition, command: RotateCommand): RotateResult {
  const nowMs = partition.now();
  const record = partition.records.get(command.sessionId);
  if (isForeign(record, command.tenantIds)) {
    return refuse("not-found");
  }
  const known = partition.requests.recall(command.request, nowMs);
  if (known !== undefined && known.kind !== "rotate") {
    return REQUEST_ID_REUSED;
  }
  if (record === undefined) {
    return known === undefined
      ? refuse("not-found")
      : { kind: "superseded", sessionId: command.sessionId };
  }
  const rotation = { partition, record, command, nowMs };
  if (known === undefined) {
    return rotate(rotation);
  }
  return partition.isUsable(record, known.successorDigest, nowMs)
    ? hand(rotation, known)
    : { kind: "superseded", sessionId: command.sessionId };
}

function rotate(rotation: Rotation): RotateResult {
  const { partition, record, command, nowMs } = rotation;
  const standing = findToken(record.tokens, command.presentedDigest, nowMs);
  if (standing.kind === "unknown") {
    return refuse("not-found");
  }
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "dead") {
    return { ...refuse(verdict.outcome), end: verdict.end };
  }
  switch (decideRotation(standing, command.trigger, nowMs)) {
    case "unknown-token":
      return refuse("not-found");
    case "late-duplicate":
      return refuse("rotated");
    case "reuse":
      return revokeForReuse(rotation);
    case "hand-out":
      return record.handOut === undefined ? refuse("rotated") : hand(rotation, record.handOut);
    case "install-with-grace":
    case "install-at-once":
      return install(rotation);
  }
}

function install(rotation: Rotation): RotateResult {
  const { partition, record, command, nowMs } = rotation;
  const { raised, trigger, eventId, successorDigest, nonce } = command;
  if (raised !== undefined && raised.expectedVersion !== record.version) {
    return { kind: "version-conflict", version: record.version };
  }
  const revision = partition.appendChanged(record, { eventId, trigger, atMs: nowMs });
  partition.audited(command.audit, { eventId, ...whose(record), revision }, nowMs);
  const handOut = { nonce, successorDigest, revision };
  if (trigger === "periodic") {
    const graceMs = record.policy.rotationGraceMs;
    record.tokens = succeedWithGrace(record.tokens, successorDigest, { nowMs, graceMs });
    record.handOut = handOut;
  } else {
    record.tokens = succeedAtOnce(record.tokens, successorDigest, nowMs);
    record.handOut = undefined;
  }
  if (raised !== undefined) {
    record.facts = raised.facts;
    record.checked = raised.checked;
    record.version += 1;
  }
  record.recoveryDigest = command.recoveryDigest;
  record.updatedAtMs = nowMs;
  partition.requests.remember(command.request, { kind: "rotate", ...handOut }, nowMs);
  return hand(rotation, handOut);
}

/** Hands out a successor; the presented token may have some of its grace left. */
function hand(
  { partition, record, command, nowMs }: Rotation,
  { nonce, successorDigest, revision }: HandOut,
): RotateResult {
  const presented = findToken(record.tokens, command.presentedDigest, nowMs);
  return {
    kind: "rotated",
    nonce,
    successorDigest,
    revision,
    record: partition.show(record, nowMs),
    previousValidForMs: presented.kind === "previous" ? presented.graceLeftMs : 0,
  };
}

/** A token that comes back long after its owner moved on has been in other hands. */
function revokeForReuse({ partition, record, command, nowMs }: Rotation): RotateResult {
  const end = {
    reason: "token-reuse",
    atMs: nowMs,
    initiatingEntity: "system",
    reasonUser: "",
  } as const;
  const revision = partition.revoke(record, {
    end,
    eventId: command.eventId,
    audit: command.audit,
  });
  return { kind: "refused", outcome: "revoked", end, revision };
}

function refuse(outcome: ValidationOutcome): Extract<RotateResult, { kind: "refused" }> {
  return { kind: "refused", outcome, end: undefined, revision: undefined };
}
