import type { Clock } from "../../base/clock.js";
import { findExpiry, nextDeadlineMs } from "../../session/liveness.js";
import type { SessionEnd } from "../../session/outcome.js";
import type { Revision } from "../../session/revision.js";
import { findToken } from "../../session/token-slots.js";
import type { AuditOrigin } from "../audit-trail.js";
import type { IncidentMode, SetIncidentCommand, SetIncidentResult } from "../incident.js";
import type { SessionRecord } from "../session-store.js";
import type { PartitionSize } from "../store-measure.js";
import { CutoffTable } from "./cutoff-table.js";
import { type AuditLimits, MemoryAudit, type NewAuditEntry } from "./memory-audit.js";
import { MemoryLog, type NewEvent } from "./memory-log.js";
import {
  type MemoryRecord,
  retainedUntilMs,
  toSessionRecord,
  type Verdict,
} from "./memory-record.js";
import { ReapQueue } from "./reap-queue.js";
import { RequestBook } from "./request-book.js";
import { SubjectIndex } from "./subject-index.js";

/** What one partition is made with. */
export interface PartitionOptions {
  readonly partition: number;
  readonly clock: Clock;
  readonly leaseMaxMs: number;
  readonly logRetention: number;
  readonly requestsMax: number;
  readonly audit: AuditLimits;
  /** Called after every append. */
  readonly onAppend: (partition: number) => void;
}

/** Why and by whom a session is ended, and what becomes of it. */
export interface Ending {
  readonly end: SessionEnd;
  readonly eventId: string;
  readonly successorId?: string;
  readonly audit: AuditOrigin | undefined;
  readonly reasonAdmin?: string;
}

/**
 * Everything one partition knows, with the few steps that keep it consistent: an
 * end is never written without its event, an id leaves its index only with its
 * end or its record, and a subject's cutoff goes only with the last id.
 *
 * The operations on it are functions of their own. Each runs to its end without
 * waiting for anything, which in one process is what makes it atomic.
 */
export class MemoryPartition {
  readonly partition: number;
  readonly log: MemoryLog;
  readonly audit: MemoryAudit;
  readonly requests: RequestBook;
  readonly cutoffs = new CutoffTable();
  readonly records = new Map<string, MemoryRecord>();
  readonly queue = new ReapQueue();
  readonly leaseMaxMs: number;
  /** The longest a session of this partition can matter, absolute timeout and recovery. */
  lifeMaxMs = 0;
  readonly #indexes = new Map<string, SubjectIndex>();
  readonly #tenantCounts = new Map<string, number>();
  readonly #clock: Clock;
  readonly #onAppend: (partition: number) => void;
  #nowMs = 0;
  #expired = 0;
  #incident: (Omit<IncidentMode, "leftMs"> & { readonly endsAtMs: number }) | undefined;
  #incidentRank = 0;

  constructor(options: PartitionOptions) {
    const { partition, clock } = options;
    this.partition = partition;
    this.leaseMaxMs = options.leaseMaxMs;
    this.requests = new RequestBook(options.requestsMax);
    this.#clock = clock;
    this.#onAppend = options.onAppend;
    const generation = Math.floor(clock.wallMs() * 1_000);
    this.audit = new MemoryAudit(options.audit);
    this.log = new MemoryLog({ partition, generation, sequence: 0 }, options.logRetention);
  }

  /** The partition's time: the wall clock, but never going back (R6). */
  now(): number {
    this.#nowMs = Math.max(this.#clock.wallMs(), this.#nowMs);
    return this.#nowMs;
  }

  /** Sets the stored time, as a test does to make it stand still. */
  setNow(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** Opens a new generation of the log, later than any before. */
  openGeneration(lostEvents: number): void {
    const microseconds = Math.floor(this.#clock.wallMs() * 1_000);
    this.log.fork(Math.max(this.log.head.generation + 1, microseconds), lostEvents);
    this.#onAppend(this.partition);
  }

  /** The incident mode, where one is running. */
  incident(nowMs: number): IncidentMode | undefined {
    const mode = this.#incident;
    return mode === undefined || mode.endsAtMs <= nowMs
      ? undefined
      : { ...mode, leftMs: mode.endsAtMs - nowMs };
  }

  /**
   * Sets the incident mode, or ends it, unless a call of a higher rank was here. The
   * result's rank says which.
   */
  setIncident(command: SetIncidentCommand, nowMs: number): SetIncidentResult {
    const rank = command.leads
      ? Math.max(nowMs, this.#incidentRank + 1, command.rank)
      : command.rank;
    if (rank > this.#incidentRank) {
      const { maxStalenessMs, stopCaching, stopCreating, lastsMs } = command;
      const mode = { maxStalenessMs, stopCaching, stopCreating, endsAtMs: nowMs + lastsMs };
      this.#incident = lastsMs > 0 ? mode : undefined;
      this.#incidentRank = rank;
      const { eventId, reasonAdmin } = command;
      this.audited(command.audit, { eventId, reasonAdmin }, nowMs);
    }
    const leftMs = this.incident(nowMs)?.leftMs;
    return {
      endsAtMs: leftMs === undefined ? undefined : nowMs + leftMs,
      leaseMaxMs: this.leaseMaxMs,
      rank: this.#incidentRank,
    };
  }

  /** Writes what a call changed into the audit trail, where the call is known. */
  audited(
    origin: AuditOrigin | undefined,
    entry: Omit<NewAuditEntry, keyof AuditOrigin>,
    nowMs: number,
  ): void {
    if (origin !== undefined) {
      this.audit.append("audit", { ...origin, ...entry }, nowMs);
    }
  }

  /** Whether a session is live; a revocation explains an end before an expiry does. */
  judge(record: MemoryRecord, nowMs: number): Verdict {
    if (record.ended !== undefined) {
      return { kind: "dead", ...record.ended };
    }
    const cutoff = this.cutoffs.find(record, record);
    if (cutoff !== undefined) {
      const { end, revision } = cutoff;
      return { kind: "dead", outcome: "revoked", end, revision, successorId: undefined };
    }
    const expiry = findExpiry(record, nowMs);
    return expiry === undefined
      ? { kind: "live" }
      : { kind: "dead", ...expiry, revision: undefined, successorId: undefined };
  }

  /** Whether the session is live and this token of it current or in grace. */
  isUsable(record: MemoryRecord | undefined, tokenDigest: string, nowMs: number): boolean {
    if (record === undefined || this.judge(record, nowMs).kind === "dead") {
      return false;
    }
    const { kind } = findToken(record.tokens, tokenDigest, nowMs);
    return kind === "current" || kind === "previous";
  }

  /** The record as the contract shows it. */
  show(record: MemoryRecord, nowMs: number): SessionRecord {
    return toSessionRecord(record, this.judge(record, nowMs), nowMs);
  }

  /** Appends an event and lets the listeners know. */
  append(event: NewEvent): Revision {
    const revision = this.log.append(event);
    this.#onAppend(this.partition);
    return revision;
  }

  /** Appends the event of a changed session. */
  appendChanged(
    record: MemoryRecord,
    change: Pick<NewEvent, "eventId" | "trigger" | "atMs">,
  ): Revision {
    return this.append({
      ...change,
      kind: "changed",
      target: { kind: "session", sessionId: record.sessionId },
      cutoff: false,
      tenantId: record.tenantId,
      reason: "unspecified",
      initiatingEntity: "unspecified",
    });
  }

  /** Adds a new session to the records, its subject's index and the reaper's queue. */
  add(record: MemoryRecord): void {
    this.records.set(record.sessionId, record);
    this.#count(record, 1);
    if (record.subjectKey !== undefined) {
      const index = this.#indexes.get(record.subjectKey) ?? new SubjectIndex();
      index.add(record);
      this.#indexes.set(record.subjectKey, index);
    }
    this.lifeMaxMs = Math.max(
      this.lifeMaxMs,
      record.policy.absoluteTimeoutMs + record.policy.recoveryWindowMs,
    );
    this.schedule(record, nextDeadlineMs(record));
  }

  /** Revokes one session: its event, its end in the record, its id out of the index. */
  revoke(record: MemoryRecord, { end, eventId, successorId, ...asked }: Ending): Revision {
    const revision = this.append({
      eventId,
      kind: "revoked",
      trigger: undefined,
      target: { kind: "session", sessionId: record.sessionId },
      cutoff: false,
      tenantId: record.tenantId,
      reason: end.reason,
      initiatingEntity: end.initiatingEntity,
      atMs: end.atMs,
    });
    const entry = {
      eventId,
      ...whose(record),
      reason: end.reason,
      initiatingEntity: end.initiatingEntity,
      reasonAdmin: asked.reasonAdmin ?? "",
      revision,
    };
    this.audited(asked.audit, entry, end.atMs);
    const outcome = end.reason === "replaced" ? "rotated" : "revoked";
    this.settle(record, { outcome, end, revision, successorId });
    return revision;
  }

  /**
   * Writes an end that has its event already, or an expiry, which has none, and
   * takes the id out of the index.
   */
  settle(record: MemoryRecord, ended: NonNullable<MemoryRecord["ended"]>): void {
    if (record.ended === undefined) {
      this.#count(record, -1);
      if (ended.revision === undefined) this.#expired += 1;
    }
    record.ended = ended;
    this.unindex(record);
    this.schedule(record, retainedUntilMs(record, ended));
  }

  /** Deletes a record. */
  delete(record: MemoryRecord): void {
    // Asked first: with the last id of a subject its cutoff goes.
    const isExpired = record.ended === undefined && this.cutoffs.find(record, record) === undefined;
    if (isExpired) this.#expired += 1;
    this.records.delete(record.sessionId);
    this.queue.delete(record.sessionId);
    this.unindex(record);
    if (record.ended === undefined) {
      this.#count(record, -1);
    }
  }

  /** How much there is. */
  measure(): PartitionSize {
    return {
      partition: this.partition,
      liveSessions: [...this.#tenantCounts.values()].reduce((sum, count) => sum + count, 0),
      keptSessions: this.records.size,
      expiredSessions: this.#expired,
      logEvents: this.log.size,
    };
  }

  /** Sessions of a tenant whose end is not written. What died since counts until it is. */
  countOf(tenantKey: string): number {
    return this.#tenantCounts.get(tenantKey) ?? 0;
  }

  /** Takes an id out of its subject's index, and with the last one the subject's cutoff. */
  unindex(record: MemoryRecord): void {
    const index = this.indexOf(record.subjectKey);
    if (record.subjectKey === undefined || index === undefined) {
      return;
    }
    index.remove(record);
    if (index.size === 0) {
      this.#indexes.delete(record.subjectKey);
      this.cutoffs.dropSubject(record.subjectKey);
    }
  }

  /** The sessions of a subject; undefined where there are none. */
  indexOf(subjectKey: string | undefined): SubjectIndex | undefined {
    return subjectKey === undefined ? undefined : this.#indexes.get(subjectKey);
  }

  #count({ tenantKey }: MemoryRecord, change: 1 | -1): void {
    const count = this.countOf(tenantKey) + change;
    if (count === 0) {
      this.#tenantCounts.delete(tenantKey);
    } else {
      this.#tenantCounts.set(tenantKey, count);
    }
  }

  /** Sets when the reaper looks at a session next. */
  schedule(record: MemoryRecord, atMs: number): void {
    this.queue.set(record.sessionId, atMs);
  }
}

/** What the audit trail says of a session. */
export function whose({
  tenantId,
  subject,
  sessionId,
}: MemoryRecord): Pick<NewAuditEntry, "tenantId" | "subject" | "sessionId"> {
  return { tenantId, subject, sessionId };
}
