import {
  AUDIT_LENGTH,
  AUDIT_READ_MAX,
  type AuditEntry,
  type AuditQuery,
  type AuditTrail,
  DENIED_BATCH_MAX,
  type DeniedCall,
} from "../audit-trail.js";
import type { SetIncidentCommand, SetIncidentResult } from "../incident.js";
import { decodeRevision, parseEntity, parseReason, readFields, ReplyList } from "./codec.js";
import type { RedisLink } from "./redis-link.js";

/** The audit trail in Redis: two streams a partition, which `lib/audit.lua` describes. */
export class RedisAudit implements AuditTrail {
  readonly #link: RedisLink;
  readonly #length: number;

  constructor(link: RedisLink, length = AUDIT_LENGTH) {
    this.#link = link;
    this.#length = length;
  }

  async appendDenied(partition: number, calls: readonly DeniedCall[]): Promise<void> {
    await this.#link.run("append_denied", {
      partition,
      attempt: "record refused calls",
      keys: [this.#link.keys.head(partition)],
      args: [
        JSON.stringify({
          max: this.#length,
          calls: calls.slice(0, DENIED_BATCH_MAX).map((call) => ({
            id: call.eventId,
            method: call.method,
            caller: call.caller,
            tenant: call.tenantId,
            session: call.sessionId,
            admin: call.reasonAdmin,
            status: String(call.statusCode),
          })),
        }),
      ],
    });
  }

  async read({ partition, stream, before, limit }: AuditQuery): Promise<readonly AuditEntry[]> {
    // Redis knows no place below the first and says so with an error.
    if (before?.atMs === 0 && before.order === 0) {
      return [];
    }
    const reply = await this.#link.run("read_audit", {
      partition,
      attempt: "read the audit trail",
      keys: [this.#link.keys.head(partition)],
      args: [
        stream,
        before === undefined ? "+" : `(${before.atMs}-${before.order}`,
        Math.min(Math.max(limit, 1), AUDIT_READ_MAX),
      ],
    });
    const entries = new ReplyList(reply);
    return Array.from({ length: entries.length }, (_, position) =>
      decodeEntry(partition, entries.list(position)),
    );
  }
}

/** Sets the incident mode of a partition. */
export async function setIncident(
  link: RedisLink,
  command: SetIncidentCommand,
): Promise<SetIncidentResult> {
  const { partition } = command;
  const reply = new ReplyList(
    await link.run("set_incident", {
      partition,
      attempt: "set the incident mode",
      keys: [link.keys.head(partition)],
      args: [
        JSON.stringify({
          lasts: command.lastsMs,
          staleness: command.maxStalenessMs,
          caching: command.stopCaching,
          creating: command.stopCreating,
          rank: command.rank,
          leads: command.leads,
          event: command.eventId,
          ...link.auditArgument(command.audit, command.reasonAdmin),
        }),
      ],
    }),
  );
  const endsAtMs = reply.number(0);
  return {
    endsAtMs: endsAtMs === 0 ? undefined : endsAtMs,
    leaseMaxMs: reply.number(1),
    rank: reply.number(2),
  };
}

function decodeEntry(partition: number, entry: ReplyList): AuditEntry {
  const [atMs = "", order = ""] = entry.text(0).split("-");
  const fields = readFields(entry.list(1));
  const revision = fields.get("rev");
  return {
    place: { atMs: Number(atMs), order: Number(order) },
    eventId: fields.get("id") ?? "",
    method: fields.get("method") ?? "",
    caller: fields.get("caller") ?? "",
    tenantId: fields.get("tenant") ?? "",
    subject: fields.get("subject") ?? "",
    sessionId: fields.get("session") ?? "",
    reason: parseReason(fields.get("reason")),
    initiatingEntity: parseEntity(fields.get("entity")),
    reasonAdmin: fields.get("admin") ?? "",
    revision: revision === undefined ? undefined : decodeRevision(partition, revision),
    statusCode: Number(fields.get("status") ?? 0),
  };
}
