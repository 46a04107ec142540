import { keyDigest, partitionOf, subjectPartition } from "../../session/partition.js";
import type {
  DeviceProgress,
  RevocationCause,
  RevocationScope,
  RevokeCommand,
  RevokeDeviceCommand,
  RevokeDeviceResult,
  RevokeResult,
  RevokeScopeCommand,
  RevokeScopeResult,
} from "../session-store.js";
import {
  encodeRequest,
  encodeTenants,
  mutate,
  REQUEST_ID_REUSED,
  unexpected,
} from "./change-sessions.js";
import { decodeRevision, encodeRevision, ReplyList } from "./codec.js";
import type { RedisLink } from "./redis-link.js";

/** Ends one session. */
export async function revokeSession(
  link: RedisLink,
  command: RevokeCommand,
): Promise<RevokeResult> {
  const { sessionId } = command;
  const reply = await mutate(link, {
    script: "revoke_session",
    attempt: "revoke a session",
    sessionId,
    command: {
      ...encodeRequest(command.request),
      ...link.auditArgument(command.audit, command.cause.reasonAdmin),
      event: command.eventId,
      presented: command.presentedDigest,
      ...encodeTenants(command.tenantIds),
      ...encodeCause(command.cause),
    },
  });
  const status = reply.text(0);
  switch (status) {
    case "REVOKED":
    case "ALREADY":
      return {
        kind: status === "REVOKED" ? "revoked" : "already-revoked",
        revision: decodeRevision(partitionOf(sessionId), reply.text(1)),
        leaseMaxMs: reply.number(2),
      };
    case "NOT_FOUND":
      return { kind: "not-found" };
    case "REUSED":
      return REQUEST_ID_REUSED;
    default:
      throw unexpected("revoke_session", status);
  }
}

/** Ends many sessions by a cutoff. */
export async function revokeScope(
  link: RedisLink,
  command: RevokeScopeCommand,
): Promise<RevokeScopeResult> {
  const { partition } = command;
  await link.ready(partition);
  const args = {
    partition,
    ...encodeRequest(command.request),
    ...link.auditArgument(command.audit, command.cause.reasonAdmin),
    event: command.eventId,
    ...encodeScope(command.scope),
    ...encodeCause(command.cause),
  };
  const reply = new ReplyList(
    await link.send("revoke_scope", {
      partition,
      attempt: "revoke sessions",
      keys: [link.keys.head(partition)],
      args: [...link.logArguments(partition), JSON.stringify(args)],
    }),
  );
  const status = reply.text(0);
  switch (status) {
    case "REVOKED":
      return {
        kind: "revoked",
        revision: decodeRevision(partition, reply.text(1)),
        countEstimate: reply.number(2),
        leaseMaxMs: reply.number(3),
      };
    case "NOT_LIVE":
      return { kind: "except-not-live" };
    case "TOO_MANY":
      return { kind: "too-many-cutoffs", limit: reply.number(1) };
    case "REUSED":
      return REQUEST_ID_REUSED;
    default:
      throw unexpected("revoke_scope", status);
  }
}

/** One batch of ending a subject's sessions on one device. */
export async function revokeDevice(
  link: RedisLink,
  command: RevokeDeviceCommand,
): Promise<RevokeDeviceResult> {
  const { tenantId, subject } = command;
  const partition = subjectPartition(tenantId, subject);
  await link.ready(partition);
  const args = {
    partition,
    ...encodeRequest(command.request),
    ...link.auditArgument(command.audit, command.cause.reasonAdmin),
    event: command.eventId,
    device: command.deviceId,
    ...encodeCause(command.cause),
    progress: command.progress && encodeProgress(command.progress),
  };
  const reply = new ReplyList(
    await link.send("revoke_device", {
      partition,
      attempt: "revoke a device",
      keys: [link.keys.head(partition), link.keys.index(partition, keyDigest(tenantId, subject))],
      args: [...link.logArguments(partition), JSON.stringify(args)],
    }),
  );
  const status = reply.text(0);
  switch (status) {
    case "PROGRESS":
      return {
        kind: "progress",
        finished: reply.text(1) === "finished",
        progress: decodeProgress(partition, reply),
        leaseMaxMs: reply.number(8),
      };
    case "REUSED":
      return REQUEST_ID_REUSED;
    default:
      throw unexpected("revoke_device", status);
  }
}

/** Deletes records whose retention is over. */
export async function reapSessions(
  link: RedisLink,
  partition: number,
  { limit, auditRetentionMs }: { readonly limit: number; readonly auditRetentionMs: number },
): Promise<number> {
  const looked = await link.run("reap_sessions", {
    partition,
    attempt: "reap sessions",
    keys: [link.keys.head(partition)],
    args: [limit, auditRetentionMs],
  });
  return typeof looked === "number" ? looked : 0;
}

/** The reason for administrators is the audit's; nothing a script decides rests on it. */
function encodeCause({ reason, initiatingEntity, reasonUser }: RevocationCause): object {
  return { reason, entity: initiatingEntity, user: reasonUser };
}

function encodeScope(scope: RevocationScope): object {
  switch (scope.kind) {
    case "subject":
      return {
        scope: "subject",
        subject: keyDigest(scope.tenantId, scope.subject),
        tenant_id: scope.tenantId,
        subject_id: scope.subject,
        except: scope.exceptSessionId,
      };
    case "tenant":
      return {
        scope: scope.clientId === "" ? "tenant" : "client",
        tenant: keyDigest(scope.tenantId),
        client: keyDigest(scope.tenantId, scope.clientId),
        tenant_id: scope.tenantId,
        client_id: scope.clientId,
        before: scope.createdBeforeMs,
      };
    case "all":
      return { scope: "all" };
  }
}

function encodeProgress(progress: DeviceProgress): object {
  return {
    head: encodeRevision(progress.notedHead),
    at: progress.notedAtMs,
    after_id: progress.after?.sessionId ?? "",
    after_at: progress.after?.createdAtMs,
    count: progress.revokedCount,
    revision: encodeRevision(progress.revision),
  };
}

function decodeProgress(partition: number, reply: ReplyList): DeviceProgress {
  const afterId = reply.text(4);
  return {
    notedHead: decodeRevision(partition, reply.text(2)),
    notedAtMs: reply.number(3),
    after: afterId === "" ? undefined : { sessionId: afterId, createdAtMs: reply.number(5) },
    revokedCount: reply.number(6),
    revision: decodeRevision(partition, reply.text(7)),
  };
}
