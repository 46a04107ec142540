import { nextDeadlineMs } from "../../session/liveness.js";
import type { MemoryPartition } from "./memory-partition.js";
import { isRecoverable, type MemoryRecord, retainedUntilMs } from "./memory-record.js";

/**
 * Looks at the sessions whose appointment has come, at most `limit`, deletes those
 * whose retention is over and reschedules the others. Returns how many it looked at.
 */
export function reapSessions(partition: MemoryPartition, limit: number): number {
  const nowMs = partition.now();
  let looked = 0;
  while (looked < limit) {
    const sessionId = partition.queue.firstDue(nowMs);
    const record = sessionId === undefined ? undefined : partition.records.get(sessionId);
    if (record === undefined) {
      break;
    }
    looked += 1;
    reapOne(partition, record, nowMs);
  }
  partition.requests.forgetExpired(nowMs);
  partition.audit.trim(nowMs);
  partition.cutoffs.dropSetBefore(nowMs - partition.lifeMaxMs);
  return looked;
}

function reapOne(partition: MemoryPartition, record: MemoryRecord, nowMs: number): void {
  const verdict = partition.judge(record, nowMs);
  if (verdict.kind === "live") {
    partition.schedule(record, nextDeadlineMs(record));
    return;
  }
  const untilMs = retainedUntilMs(record, verdict);
  if (nowMs >= untilMs) {
    partition.delete(record);
  } else if (record.ended === undefined && !isRecoverable(record, verdict, nowMs)) {
    partition.settle(record, verdict);
  } else {
    partition.schedule(record, untilMs);
  }
}
