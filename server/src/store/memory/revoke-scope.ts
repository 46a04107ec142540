import type { EventTarget } from "../../session/event.js";
import { keyDigest } from "../../session/partition.js";
import type { RevocationScope, RevokeScopeCommand, RevokeScopeResult } from "../session-store.js";
import { CLIENT_CUTOFFS_MAX, type CutoffScope } from "./cutoff-table.js";
import type { MemoryPartition } from "./memory-partition.js";
import type { MemoryRecord } from "./memory-record.js";
import { REQUEST_ID_REUSED } from "./request-book.js";

/**
 * Ends many sessions by a cutoff. The spared session is re-stamped in the same
 * step; stamped later, it would be dead in between for whoever asks.
 */
export function revokeScope(
  partition: MemoryPartition,
  command: RevokeScopeCommand,
): RevokeScopeResult {
  const nowMs = partition.now();
  const { leaseMaxMs } = partition;
  const known = partition.requests.recall(command.request, nowMs);
  if (known !== undefined) {
    return known.kind === "scope" ? { ...known, kind: "revoked", leaseMaxMs } : REQUEST_ID_REUSED;
  }
  const scope = toCutoffScope(command.scope);
  const createdBeforeMs = boundInstant(command.scope, nowMs);
  const spared = findSpared(partition, command.scope, nowMs);
  if (spared === "not-live") {
    return { kind: "except-not-live" };
  }
  if (!partition.cutoffs.hasRoomFor(scope, createdBeforeMs !== undefined)) {
    return { kind: "too-many-cutoffs", limit: CLIENT_CUTOFFS_MAX };
  }
  const { reason, initiatingEntity, reasonUser } = command.cause;
  const revision = partition.append({
    eventId: command.eventId,
    kind: "revoked",
    trigger: undefined,
    target: toTarget(command.scope, createdBeforeMs),
    cutoff: createdBeforeMs === undefined,
    tenantId: command.scope.kind === "all" ? "" : command.scope.tenantId,
    reason,
    initiatingEntity,
    atMs: nowMs,
  });
  const entry = {
    eventId: command.eventId,
    tenantId: command.scope.kind === "all" ? "" : command.scope.tenantId,
    subject: command.scope.kind === "subject" ? command.scope.subject : "",
    reason,
    initiatingEntity,
    reasonAdmin: command.cause.reasonAdmin,
    revision,
  };
  partition.audited(command.audit, entry, nowMs);
  const end = { reason, atMs: nowMs, initiatingEntity, reasonUser };
  const index = scope.kind === "subject" ? partition.indexOf(scope.subjectKey) : undefined;
  if (scope.kind !== "subject" || index !== undefined) {
    partition.cutoffs.raise(scope, { revision, createdBeforeMs, end });
  }
  if (spared !== undefined) {
    spared.issued = revision;
  }
  const countEstimate = (index?.size ?? 0) - (spared === undefined ? 0 : 1);
  const result = { revision, countEstimate };
  partition.requests.remember(command.request, { kind: "scope", ...result }, nowMs);
  return { kind: "revoked", ...result, leaseMaxMs };
}

function toCutoffScope(scope: RevocationScope): CutoffScope {
  switch (scope.kind) {
    case "subject":
      return { kind: "subject", subjectKey: keyDigest(scope.tenantId, scope.subject) };
    case "tenant": {
      const tenantKey = keyDigest(scope.tenantId);
      return scope.clientId === ""
        ? { kind: "tenant", tenantKey }
        : { kind: "client", tenantKey, clientKey: keyDigest(scope.tenantId, scope.clientId) };
    }
    case "all":
      return { kind: "all" };
  }
}

/** An instant in the future would end sessions that do not exist yet. */
function boundInstant(scope: RevocationScope, nowMs: number): number | undefined {
  return scope.kind === "tenant" && scope.createdBeforeMs !== undefined
    ? Math.min(scope.createdBeforeMs, nowMs)
    : undefined;
}

function findSpared(
  partition: MemoryPartition,
  scope: RevocationScope,
  nowMs: number,
): MemoryRecord | "not-live" | undefined {
  if (scope.kind !== "subject" || scope.exceptSessionId === undefined) {
    return undefined;
  }
  const record = partition.records.get(scope.exceptSessionId);
  const isTheirs = record?.tenantId === scope.tenantId && record.subject === scope.subject;
  return isTheirs && partition.judge(record, nowMs).kind === "live" ? record : "not-live";
}

function toTarget(scope: RevocationScope, createdBeforeMs: number | undefined): EventTarget {
  switch (scope.kind) {
    case "subject": {
      const { subject, exceptSessionId } = scope;
      return {
        kind: "subject",
        subject,
        except: exceptSessionId === undefined ? [] : [exceptSessionId],
      };
    }
    case "tenant":
      return { kind: "tenant", clientId: scope.clientId, createdBeforeMs };
    case "all":
      return { kind: "all" };
  }
}
