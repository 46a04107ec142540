import type { UpdateCommand, UpdateResult } from "../session-store.js";
import { type MemoryPartition, whose } from "./memory-partition.js";
import { REQUEST_ID_REUSED } from "./request-book.js";

/** Replaces the facts of a live session under a version check. */
export function updateSession(partition: MemoryPartition, command: UpdateCommand): UpdateResult {
  const nowMs = partition.now();
  const known = partition.requests.recall(command.request, nowMs);
  if (known !== undefined && known.kind !== "update") {
    return REQUEST_ID_REUSED;
  }
  const record = partition.records.get(command.sessionId);
  if (record === undefined) {
    return { kind: "not-found" };
  }
  if (known !== undefined) {
    return { kind: "updated", record: partition.show(record, nowMs), revision: known.revision };
  }
  if (partition.judge(record, nowMs).kind === "dead") {
    return { kind: "not-live", record: partition.show(record, nowMs) };
  }
  if (record.version !== command.expectedVersion) {
    return { kind: "version-conflict", version: record.version };
  }
  if (command.facts === undefined) {
    return {
      kind: "updated",
      record: partition.show(record, nowMs),
      revision: partition.log.head,
    };
  }
  const { eventId } = command;
  const revision = command.invalidateCaches
    ? partition.appendChanged(record, { eventId, trigger: undefined, atMs: nowMs })
    : partition.log.head;
  partition.audited(command.audit, { eventId, ...whose(record), revision }, nowMs);
  record.facts = command.facts;
  record.version += 1;
  record.updatedAtMs = nowMs;
  partition.requests.remember(command.request, { kind: "update", revision }, nowMs);
  return { kind: "updated", record: partition.show(record, nowMs), revision };
}
