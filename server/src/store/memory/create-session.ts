import { keyDigest } from "../../session/partition.js";
import type { Revision } from "../../session/revision.js";
import { partitionShare } from "../../session/tenant-cap.js";
import { applySessionLimit } from "../../session/session-limit.js";
import type { CreateCommand, CreateResult } from "../session-store.js";
import { StoreUnavailableError } from "../store-error.js";
import { type MemoryPartition, whose } from "./memory-partition.js";
import { isRecoverable, type MemoryRecord } from "./memory-record.js";
import { REQUEST_ID_REUSED, type Remembered } from "./request-book.js";

/**
 * How many ids of a subject one creation looks at, newest first. The limit is at
 * most 500 live sessions; the rest is room for sessions that can be recovered.
 */
const WALK_MAX = 1_000;

/**
 * Creates a session. A repeat is answered before anything is evicted: a client
 * that lost the reply must not lose an older session to its own retry.
 */
export function createSession(partition: MemoryPartition, command: CreateCommand): CreateResult {
  const nowMs = partition.now();
  const known = partition.requests.recall(command.request, nowMs);
  if (known !== undefined) {
    return known.kind === "create" ? repeat(partition, known, nowMs) : REQUEST_ID_REUSED;
  }
  const claim =
    command.claim === undefined ? undefined : { key: command.claim, argumentsDigest: "" };
  const claimed = partition.requests.recall(claim, nowMs);
  if (claimed?.kind === "claim" && isLive(partition, claimed.sessionId, nowMs)) {
    return { kind: "claimed", sessionId: claimed.sessionId };
  }
  const subjectKey =
    command.subject === "" ? undefined : keyDigest(command.tenantId, command.subject);
  const decision = applySessionLimit(liveSessions(partition, { subjectKey, command, nowMs }), {
    max: command.policy.maxSessionsPerSubject,
    action: command.policy.limitAction,
  });
  if (decision.kind === "deny") {
    return { kind: "limit-reached", liveSessions: decision.liveSessions };
  }
  if (isTenantFull(partition, command, decision.evict.length)) {
    return { kind: "tenant-full" };
  }
  if (partition.records.has(command.sessionId)) {
    // Never adopt an id (S-02): its old record may be a revocation that must not be forgotten.
    throw new StoreUnavailableError(
      `Cannot create session ${command.sessionId}: the id is taken`,
      "no",
    );
  }
  evict(partition, decision.evict, { command, nowMs });
  const revision = partition.log.head;
  const record = newRecord(command, { subjectKey, nowMs, revision });
  const { audit, eventId } = command;
  partition.audited(audit, { eventId, ...whose(record), revision }, nowMs);
  partition.add(record);
  const { sessionId, nonce, tokenDigest } = command;
  const result = { sessionId, nonce, tokenDigest, evicted: decision.evict, revision };
  partition.requests.remember(command.request, { kind: "create", ...result }, nowMs);
  partition.requests.remember(claim, { kind: "claim", sessionId }, nowMs);
  return { kind: "created", ...result, record: partition.show(record, nowMs), repeated: false };
}

/** Whether the tenant has its share, where what this call ends makes room. */
function isTenantFull(
  partition: MemoryPartition,
  { tenantId, tenantSessionsMax }: CreateCommand,
  ending: number,
): boolean {
  return (
    tenantSessionsMax !== undefined &&
    partition.countOf(keyDigest(tenantId)) - ending >= partitionShare(tenantSessionsMax)
  );
}

function isLive(partition: MemoryPartition, sessionId: string, nowMs: number): boolean {
  const record = partition.records.get(sessionId);
  return record !== undefined && partition.judge(record, nowMs).kind === "live";
}

function repeat(
  partition: MemoryPartition,
  known: Extract<Remembered, { kind: "create" }>,
  nowMs: number,
): CreateResult {
  const record = partition.records.get(known.sessionId);
  return record !== undefined && partition.isUsable(record, known.tokenDigest, nowMs)
    ? { ...known, kind: "created", record: partition.show(record, nowMs), repeated: true }
    : { kind: "superseded", sessionId: known.sessionId };
}

/**
 * The subject's live sessions, oldest first. What is dead for good leaves the
 * index on the way; what can be recovered stays and does not count.
 */
function liveSessions(
  partition: MemoryPartition,
  {
    subjectKey,
    command,
    nowMs,
  }: { subjectKey: string | undefined; command: CreateCommand; nowMs: number },
): readonly MemoryRecord[] {
  if (command.policy.maxSessionsPerSubject === 0) {
    return [];
  }
  const live: MemoryRecord[] = [];
  for (const { sessionId } of partition.indexOf(subjectKey)?.newest(WALK_MAX) ?? []) {
    const record = partition.records.get(sessionId);
    if (record !== undefined && !prune(partition, record, nowMs)) {
      live.push(record);
    }
  }
  return live.reverse();
}

/** Writes the end of a session that is dead for good. Returns whether it is dead at all. */
function prune(partition: MemoryPartition, record: MemoryRecord, nowMs: number): boolean {
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "live") {
    return false;
  }
  if (!isRecoverable(record, verdict, nowMs)) {
    partition.settle(record, verdict);
  }
  return true;
}

function evict(
  partition: MemoryPartition,
  sessionIds: readonly string[],
  { command, nowMs }: { readonly command: CreateCommand; readonly nowMs: number },
): void {
  for (const [index, sessionId] of sessionIds.entries()) {
    const record = partition.records.get(sessionId);
    if (record !== undefined) {
      partition.revoke(record, {
        end: {
          reason: "limit-exceeded",
          atMs: nowMs,
          initiatingEntity: "policy",
          reasonUser: "",
        },
        eventId: `${command.eventId}.${index + 1}`,
        audit: command.audit,
      });
    }
  }
}

function newRecord(
  command: CreateCommand,
  {
    subjectKey,
    nowMs,
    revision,
  }: { subjectKey: string | undefined; nowMs: number; revision: Revision },
): MemoryRecord {
  const { sessionId, tenantId, subject, clientId, device, policy } = command;
  return {
    sessionId,
    tenantId,
    subject,
    clientId,
    subjectKey,
    tenantKey: keyDigest(tenantId),
    clientKey: keyDigest(tenantId, clientId),
    device,
    policy,
    idleTimeoutMs: policy.idleTimeoutMs,
    touchIntervalMs: policy.touchIntervalMs,
    createdAtMs: nowMs,
    absoluteDeadlineMs: nowMs + policy.absoluteTimeoutMs,
    facts: command.facts,
    checked: command.checked,
    lastSeenAtMs: nowMs,
    updatedAtMs: nowMs,
    version: 1,
    issued: revision,
    tokens: { current: command.tokenDigest, previous: undefined, retired: [] },
    recoveryDigest: command.recoveryDigest,
    handOut: undefined,
    ended: undefined,
  };
}
