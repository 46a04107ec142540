import { keyDigest } from "../../session/partition.js";
import { compareRevisions } from "../../session/revision.js";
import type { DeviceProgress, RevokeDeviceCommand, RevokeDeviceResult } from "../session-store.js";
import type { MemoryPartition } from "./memory-partition.js";
import type { MemoryRecord } from "./memory-record.js";
import { REQUEST_ID_REUSED } from "./request-book.js";

/** Ids of the subject's index that one batch looks at: what may hold the store for one step. */
export const DEVICE_BATCH = 100;

/**
 * One batch of ending a subject's sessions on one device. What it notes at its
 * first batch bounds all of them: a login that happens in between is not what the
 * caller meant to end.
 */
export function revokeDevice(
  partition: MemoryPartition,
  command: RevokeDeviceCommand,
): RevokeDeviceResult {
  const nowMs = partition.now();
  const { leaseMaxMs } = partition;
  const known = partition.requests.recall(command.request, nowMs);
  if (known !== undefined && known.kind !== "device") {
    return REQUEST_ID_REUSED;
  }
  if (known?.finished === true) {
    return { kind: "progress", finished: true, progress: known.progress, leaseMaxMs };
  }
  const from = known?.progress ?? command.progress ?? begin(partition, nowMs);
  const index = partition.indexOf(keyDigest(command.tenantId, command.subject));
  // One more than a batch, to know whether it is the last.
  const found = index?.after(from.after, DEVICE_BATCH + 1) ?? [];
  const entries = found.slice(0, DEVICE_BATCH);
  let { revision, revokedCount } = from;
  for (const { sessionId } of entries) {
    const record = partition.records.get(sessionId);
    if (record !== undefined && isMeant(partition, record, { command, from, nowMs })) {
      revokedCount += 1;
      revision = revokeOne(partition, record, { command, nowMs, number: revokedCount });
    }
  }
  const progress = { ...from, after: entries.at(-1) ?? from.after, revision, revokedCount };
  const finished = found.length <= DEVICE_BATCH;
  if (revokedCount > 0 || !finished) {
    partition.requests.remember(command.request, { kind: "device", progress, finished }, nowMs);
  }
  return { kind: "progress", finished, progress, leaseMaxMs };
}

function begin(partition: MemoryPartition, nowMs: number): DeviceProgress {
  const { head } = partition.log;
  return {
    notedHead: head,
    notedAtMs: nowMs,
    after: undefined,
    revokedCount: 0,
    revision: head,
  };
}

function isMeant(
  partition: MemoryPartition,
  record: MemoryRecord,
  {
    command,
    from,
    nowMs,
  }: {
    readonly command: RevokeDeviceCommand;
    readonly from: DeviceProgress;
    readonly nowMs: number;
  },
): boolean {
  const verdict = partition.judge(record, nowMs);
  const isRevoked = verdict.kind === "dead" && verdict.revision !== undefined;
  return !isRevoked && record.device.id === command.deviceId && isOlder(record, from);
}

/**
 * Whether a session was there at the first batch. The instant tells, and in the same one the
 * place it was issued at; that place alone moves where another revocation spares it.
 */
function isOlder({ createdAtMs, issued }: MemoryRecord, from: DeviceProgress): boolean {
  return createdAtMs === from.notedAtMs
    ? compareRevisions(issued, from.notedHead) <= 0
    : createdAtMs < from.notedAtMs;
}

function revokeOne(
  partition: MemoryPartition,
  record: MemoryRecord,
  {
    command,
    nowMs,
    number,
  }: { readonly command: RevokeDeviceCommand; readonly nowMs: number; readonly number: number },
): DeviceProgress["revision"] {
  const { reason, initiatingEntity, reasonUser } = command.cause;
  return partition.revoke(record, {
    end: { reason, atMs: nowMs, initiatingEntity, reasonUser },
    eventId: `${command.eventId}.${number}`,
    audit: command.audit,
    reasonAdmin: command.cause.reasonAdmin,
  });
}
