import { keyDigest } from "../../session/partition.js";
import type { ListPage, ListQuery, SessionRecord } from "../session-store.js";
import type { MemoryPartition } from "./memory-partition.js";

/** The record, live or ended. */
export function readSession(
  partition: MemoryPartition,
  sessionId: string,
): SessionRecord | undefined {
  const record = partition.records.get(sessionId);
  return record && partition.show(record, partition.now());
}

/**
 * One page of a subject's live sessions. It looks at no more ids than it may
 * return, so a page is short where sessions have ended.
 */
export function listSessions(partition: MemoryPartition, query: ListQuery): ListPage {
  const nowMs = partition.now();
  const index = partition.indexOf(keyDigest(query.tenantId, query.subject));
  const entries = index?.after(query.after, query.limit) ?? [];
  const records = entries.flatMap(({ sessionId }) => {
    const record = partition.records.get(sessionId);
    const shown = record && partition.show(record, nowMs);
    return shown?.state === "active" ? [shown] : [];
  });
  const last = entries.at(-1);
  const isLastPage = last === undefined || index?.after(last, 1).length === 0;
  return {
    records,
    next: isLastPage ? undefined : { createdAtMs: last.createdAtMs, sessionId: last.sessionId },
  };
}
