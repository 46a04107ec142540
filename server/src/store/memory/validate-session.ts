import { evaluateBinding, evaluateRequirements } from "../../session/checks.js";
import { isTouchDue } from "../../session/liveness.js";
import type { ValidationOutcome } from "../../session/outcome.js";
import { compareRevisions } from "../../session/revision.js";
import { findToken, type TokenStanding } from "../../session/token-slots.js";
import type { SessionUse, ValidateCommand, ValidateReply } from "../session-store.js";
import { StoreBehindError } from "../store-error.js";
import type { MemoryPartition } from "./memory-partition.js";
import { isForeign, type MemoryRecord } from "./memory-record.js";

/** A refusal that says no more than its outcome. */
type Refusal = Pick<ValidateReply, "outcome" | "end">;

/** Answers one token. The order of the checks is the contract's. */
export function validateSession(
  partition: MemoryPartition,
  command: ValidateCommand,
): ValidateReply {
  const asOf = partition.log.head;
  requireSeen(partition, command);
  const nowMs = partition.now();
  const record = partition.records.get(command.sessionId);
  if (record === undefined || !isAddressee(record, command)) {
    return refuse(partition, { outcome: "not-found", end: undefined });
  }
  const standing = findToken(record.tokens, command.tokenDigest, nowMs);
  const refusal = refuseBySession(partition, { record, standing, command, nowMs });
  if (refusal !== undefined) {
    return refuse(partition, refusal);
  }
  const { device, policy, checked } = record;
  const binding = evaluateBinding(command.binding, { device, modes: policy.binding });
  if (binding.mismatch) {
    return refuse(partition, { outcome: "binding-mismatch", end: undefined });
  }
  const lacking = evaluateRequirements(command.requirements, checked, nowMs);
  if (lacking !== undefined) {
    return refuse(partition, { outcome: lacking, end: undefined });
  }
  if (command.touch) {
    recordUse(record, nowMs);
  }
  return {
    outcome: "valid",
    asOf,
    record: partition.show(record, nowMs),
    authenticatedAtMs: checked.authenticatedAtMs,
    graceLeftMs: standing.kind === "previous" ? standing.graceLeftMs : undefined,
    end: undefined,
    bindingWarnings: binding.warnings,
  };
}

/**
 * Records a use that a cache answered some time ago. A session that has died
 * since stays dead: the use would have been answered differently today.
 */
export function touchSession(
  partition: MemoryPartition,
  use: SessionUse,
  tenantIds?: readonly string[],
): ValidationOutcome {
  const nowMs = partition.now();
  const record = partition.records.get(use.sessionId);
  if (isForeign(record, tenantIds)) {
    return "not-found";
  }
  const standing = record && findToken(record.tokens, use.tokenDigest, nowMs);
  if (record === undefined || standing === undefined || standing.kind === "unknown") {
    return "not-found";
  }
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "dead") {
    return verdict.outcome;
  }
  if (standing.kind === "retired") {
    return "rotated";
  }
  recordUse(record, nowMs - Math.max(use.idleForMs, 0));
  return "valid";
}

function requireSeen(partition: MemoryPartition, { minRevision }: ValidateCommand): void {
  const head = partition.log.head;
  const isAhead =
    minRevision?.partition === head.partition && compareRevisions(minRevision, head) > 0;
  if (isAhead) {
    throw new StoreBehindError(
      `Cannot validate at revision ${minRevision.generation}-${minRevision.sequence} of partition ` +
        `${head.partition}: the log ends at ${head.generation}-${head.sequence}`,
    );
  }
}

function isAddressee(record: MemoryRecord, command: ValidateCommand): boolean {
  return record.tenantId === command.tenantId;
}

function refuseBySession(
  partition: MemoryPartition,
  {
    record,
    standing,
    command,
    nowMs,
  }: {
    readonly record: MemoryRecord;
    readonly standing: TokenStanding;
    readonly command: ValidateCommand;
    readonly nowMs: number;
  },
): Refusal | undefined {
  const audience = command.audienceClientIds;
  const isMeant = audience.length === 0 || audience.includes(record.clientId);
  if (standing.kind === "unknown" || !isMeant) {
    return { outcome: "not-found", end: undefined };
  }
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "dead") {
    return verdict;
  }
  return standing.kind === "retired" ? { outcome: "rotated", end: undefined } : undefined;
}

function refuse(partition: MemoryPartition, { outcome, end }: Refusal): ValidateReply {
  return {
    outcome,
    asOf: partition.log.head,
    record: undefined,
    authenticatedAtMs: undefined,
    graceLeftMs: undefined,
    end,
    bindingWarnings: [],
  };
}

function recordUse(record: MemoryRecord, usedAtMs: number): void {
  if (isTouchDue(record, usedAtMs)) {
    record.lastSeenAtMs = usedAtMs;
  }
}
