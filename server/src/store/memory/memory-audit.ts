import {
  AUDIT_READ_MAX,
  type AuditEntry,
  type AuditOrigin,
  type AuditPlace,
  type AuditStream,
} from "../audit-trail.js";

/** An entry before it has its place. What is left out is empty. */
export type NewAuditEntry = Partial<Omit<AuditEntry, "place">> & AuditOrigin;

/** How much of the trail is kept. */
export interface AuditLimits {
  readonly length: number;
  readonly retentionMs: number;
}

/** The audit trail of one partition: two bounded lists, oldest first. */
export class MemoryAudit {
  readonly #streams: Readonly<Record<AuditStream, AuditEntry[]>> = { audit: [], denied: [] };
  readonly #limits: AuditLimits;

  constructor(limits: AuditLimits) {
    this.#limits = limits;
  }

  /** Appends an entry. Its instant is never before that of the one before. */
  append(stream: AuditStream, entry: NewAuditEntry, nowMs: number): void {
    const entries = this.#streams[stream];
    const last = entries.at(-1)?.place;
    const atMs = Math.max(nowMs, last?.atMs ?? 0);
    const order = last?.atMs === atMs ? last.order + 1 : 0;
    entries.push({ ...EMPTY, ...entry, place: { atMs, order } });
    if (entries.length > this.#limits.length) {
      entries.shift();
    }
  }

  /** At most `limit` entries before a place, newest first. */
  read(stream: AuditStream, before: AuditPlace | undefined, limit: number): AuditEntry[] {
    const entries = this.#streams[stream];
    const end = before === undefined ? entries.length : countBefore(entries, before);
    const wanted = Math.min(Math.max(limit, 1), AUDIT_READ_MAX);
    return entries.slice(Math.max(0, end - wanted), end).reverse();
  }

  /** Drops what is older than the retention. */
  trim(nowMs: number): void {
    const oldest = { atMs: nowMs - this.#limits.retentionMs, order: 0 };
    for (const entries of Object.values(this.#streams)) {
      entries.splice(0, countBefore(entries, oldest));
    }
  }
}

const EMPTY: Omit<AuditEntry, "place"> = {
  eventId: "",
  method: "",
  caller: "",
  tenantId: "",
  subject: "",
  sessionId: "",
  reason: "unspecified",
  initiatingEntity: "unspecified",
  reasonAdmin: "",
  revision: undefined,
  statusCode: 0,
};

/** How many entries are before a place. */
function countBefore(entries: readonly AuditEntry[], { atMs, order }: AuditPlace): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const place = entries[middle]?.place;
    const isBefore =
      place !== undefined && (place.atMs < atMs || (place.atMs === atMs && place.order < order));
    if (isBefore) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
