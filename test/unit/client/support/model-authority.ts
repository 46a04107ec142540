import type { Reset, RevocationEvent, SyncReply, WatchMessage } from "#client/base/event.js";
import {
  compareRevisions,
  partitionOf,
  type Revision,
  type RevisionRange,
} from "#client/base/revision.js";
import type { Session, ValidationReply } from "#client/base/session.js";
import { L_MS, reply, revoked, session } from "./fixtures.js";

/** How many partitions the model uses: two, so that mixing them up shows. */
const PARTITIONS = [0, 1];
/** Few enough to leave some for the next Sync. */
const EVENTS_PER_SYNC_MAX = 2;
const LIFE_MS = 20_000;

/** A session as it truly is. */
export interface ModelSession {
  readonly session: Session;
  readonly deadlineMs: number;
  issued: Revision;
  /** Grows with every change of its attributes, announced or not. */
  version: number;
  /** When it ended on the history that survives; undefined while it lives. */
  endedAtMs: number | undefined;
}

/** An event as it was committed. */
export interface ModelEvent extends RevocationEvent {
  readonly atMs: number;
}

interface Log {
  readonly partition: number;
  generation: number;
  events: ModelEvent[];
  /** Every event of every generation, the lost ones too. */
  readonly everything: ModelEvent[];
  /** Where each later generation branched off. */
  readonly forks: Revision[];
  /** Positions before it cannot be resumed. */
  trimmedAt: Revision;
}

/** An authority without a network: it answers at once, and is always right. */
export class ModelAuthority {
  nowMs = 0;
  readonly sessions: ModelSession[] = [];
  readonly #logs: readonly Log[] = PARTITIONS.map((partition) => ({
    partition,
    generation: 1,
    events: [],
    everything: [],
    forks: [],
    trimmedAt: { partition, generation: 1, sequence: 0 },
  }));

  /** One of the sessions there are. */
  pick(who: number): ModelSession | undefined {
    return this.sessions[who % Math.max(1, this.sessions.length)];
  }

  /** Creates a session; who decides subject and partition. */
  create(who: number): void {
    if (this.sessions.length >= 8) return;
    const partition = who % PARTITIONS.length;
    const sessionId = `0${partition}${String(this.sessions.length).padStart(22, "x")}`;
    this.sessions.push({
      session: session({ sessionId, subject: `s${who % 4}`, createdAtMs: this.nowMs }),
      deadlineMs: this.nowMs + LIFE_MS,
      issued: this.#head(this.#log(partition)),
      version: 1,
      endedAtMs: undefined,
    });
  }

  /** Ends a session; undefined where it had ended. */
  revoke(target: ModelSession | undefined): Revision | undefined {
    if (target?.endedAtMs !== undefined || target === undefined) return undefined;
    const { sessionId } = target.session;
    const event = this.#append(sessionId, { target: { kind: "session", sessionId } });
    target.endedAtMs = this.nowMs;
    return event.revision;
  }

  /** Changes a live session. */
  change(target: ModelSession | undefined): Revision | undefined {
    if (target?.endedAtMs !== undefined || target === undefined) return undefined;
    const { sessionId } = target.session;
    return this.#append(sessionId, { kind: "changed", target: { kind: "session", sessionId } })
      .revision;
  }

  /** Changes a live session without an event: caches may show the old version a little longer. */
  changeQuietly(target: ModelSession): Revision | undefined {
    if (target.endedAtMs !== undefined) return undefined;
    target.version += 1;
    return this.#head(this.#log(partitionOf(target.session.sessionId)));
  }

  /** Says again, in a new event, that a subject's sessions ended at an earlier cutoff. */
  reassert(partition: number): void {
    const log = this.#log(partition);
    const earlier = log.everything.find(({ target }) => target.kind === "subject");
    if (earlier === undefined) return;
    const { cutoff, target } = earlier;
    const event = this.#append(`0${partition}`, { target, cutoff });
    this.#endIssuedBefore(event, (other) => isSubject(other, target));
  }

  /** Ends the sessions of somebody's subject, perhaps sparing that one. */
  revokeSubject(target: ModelSession | undefined, isExcepted: boolean): void {
    if (target === undefined) return;
    const { sessionId, subject } = target.session;
    const isSpared = isExcepted && target.endedAtMs === undefined;
    const except = isSpared ? [sessionId] : [];
    const event = this.#append(sessionId, { target: { kind: "subject", subject, except } });
    if (isSpared) target.issued = event.revision;
    this.#endIssuedBefore(event, (other) => other.session.subject === subject);
  }

  /** Ends a partition's sessions: all, or those created before an instant. */
  revokeTenant(partition: number, createdBeforeMs: number | undefined): void {
    const target = { kind: "tenant", clientId: "", createdBeforeMs } as const;
    const event = this.#append(`0${partition}`, { target });
    if (createdBeforeMs === undefined) {
      this.#endIssuedBefore(event, () => true);
      return;
    }
    for (const other of this.#sessionsOf(partition)) {
      if (other.session.createdAtMs < createdBeforeMs) other.endedAtMs ??= this.nowMs;
    }
  }

  /** Forgets the events so far: positions before the head cannot be resumed. */
  trim(partition: number): void {
    const log = this.#log(partition);
    log.trimmedAt = this.#head(log);
  }

  /** Redis fails over and loses the last events, and what they did. */
  fork(partition: number, lost: number): void {
    const log = this.#log(partition);
    const kept = Math.max(0, log.events.length - lost);
    log.events = log.events.slice(0, kept);
    log.forks.push(this.#head(log));
    log.generation += 1;
    this.#replay(log);
  }

  /** Answers a token. */
  validate(target: ModelSession): ValidationReply {
    const log = this.#log(partitionOf(target.session.sessionId));
    const isLive = target.endedAtMs === undefined && this.nowMs < target.deadlineMs;
    return reply({
      outcome: isLive ? "valid" : "revoked",
      session: isLive ? { ...target.session, version: target.version } : undefined,
      asOf: this.#head(log),
      issued: target.issued,
      validForMs: target.deadlineMs - this.nowMs,
    });
  }

  /** Answers a Sync, perhaps without the head of a partition. */
  sync(position: readonly Revision[], isMissing: boolean): SyncReply {
    const resets: Reset[] = [];
    const ranges: RevisionRange[] = [];
    const events: RevocationEvent[] = [];
    for (const from of position) {
      const log = this.#log(from.partition);
      const found = this.#after(log, from);
      if (found === undefined) {
        resets.push({ at: [this.#head(log)], reason: "too-old" });
        continue;
      }
      const some = found.slice(0, EVENTS_PER_SYNC_MAX);
      const last = some.at(-1)?.revision;
      const through = some.length < found.length && last !== undefined ? last : this.#head(log);
      ranges.push({ fromExclusive: from, through });
      events.push(...some);
    }
    const heads = this.#logs.slice(isMissing ? 1 : 0).map((log) => this.#head(log));
    return { ranges, events, heads, resets, maxStalenessMs: L_MS, deploymentId: "d" };
  }

  /** Opens a stream and says where it starts. */
  open(position: readonly Revision[], cursor: Map<number, Revision>): readonly WatchMessage[] {
    const at: Revision[] = [];
    for (const log of this.#logs) {
      const from = position.find(({ partition }) => partition === log.partition);
      const isResumed = from !== undefined && this.#after(log, from) !== undefined;
      cursor.set(log.partition, isResumed ? from : this.#head(log));
      if (from !== undefined && !isResumed) at.push(this.#head(log));
    }
    const opened = position.length === 0 ? [...cursor.values()] : position;
    return [
      { kind: "opened", position: opened, deploymentId: "d", maxStalenessMs: L_MS },
      { kind: "reset", reset: { at, reason: "history-forked" } },
    ];
  }

  /** What a stream lacks, or that it lacks nothing. */
  push(cursor: Map<number, Revision>): WatchMessage {
    const ranges: RevisionRange[] = [];
    const events: RevocationEvent[] = [];
    for (const log of this.#logs) {
      const from = cursor.get(log.partition) ?? this.#head(log);
      const found = this.#after(log, from);
      const through = this.#head(log);
      cursor.set(log.partition, through);
      if (found === undefined) {
        return { kind: "reset", reset: { at: [through], reason: "too-old" } };
      }
      ranges.push({ fromExclusive: from, through });
      events.push(...found);
    }
    return events.length === 0 ? { kind: "progress", ranges } : { kind: "batch", ranges, events };
  }

  /** Every event of one generation, in order, the lost ones too. */
  eventsOf(partition: number, generation: number): readonly ModelEvent[] {
    const log = this.#logs.find((other) => other.partition === partition);
    return log?.everything.filter(({ revision }) => revision.generation === generation) ?? [];
  }

  /** The resume table of FAULTS: the events after a position, or undefined for a reset. */
  #after(log: Log, from: Revision): readonly ModelEvent[] | undefined {
    const wasLost = log.forks
      .slice(from.generation - 1)
      .some((fork) => compareRevisions(fork, from) < 0);
    if (wasLost || compareRevisions(from, log.trimmedAt) < 0) return undefined;
    return log.events.filter(({ revision }) => compareRevisions(revision, from) > 0);
  }

  #log(partition: number): Log {
    const log = this.#logs[partition];
    if (log === undefined) throw new Error(`The model has no partition ${partition}`);
    return log;
  }

  #head(log: Log): Revision {
    const { partition, generation } = log;
    const last = log.events.at(-1)?.revision;
    // A generation is at sequence 0 until its first event.
    const sequence = last?.generation === generation ? last.sequence : 0;
    return { partition, generation, sequence };
  }

  #append(sessionId: string, given: Partial<RevocationEvent>): ModelEvent {
    const log = this.#log(partitionOf(sessionId));
    const head = this.#head(log);
    const revision = { ...head, sequence: head.sequence + 1 };
    const isMany = given.target !== undefined && given.target.kind !== "session";
    const cutoff = isMany ? revision : undefined;
    const event: ModelEvent = { ...revoked(revision, { cutoff, ...given }), atMs: this.nowMs };
    log.events.push(event);
    log.everything.push(event);
    return event;
  }

  #sessionsOf(partition: number): readonly ModelSession[] {
    return this.sessions.filter(
      ({ session: { sessionId } }) => partitionOf(sessionId) === partition,
    );
  }

  #endIssuedBefore(event: ModelEvent, isInScope: (other: ModelSession) => boolean): void {
    for (const other of this.#sessionsOf(event.revision.partition)) {
      const cutoff = event.cutoff ?? event.revision;
      const isSpared =
        event.target.kind === "subject" && event.target.except.includes(other.session.sessionId);
      const isDead = isInScope(other) && !isSpared && compareRevisions(other.issued, cutoff) < 0;
      if (isDead) other.endedAtMs ??= event.atMs;
    }
  }

  /** What is true after a fork is what the events that are left say. */
  #replay(log: Log): void {
    for (const other of this.#sessionsOf(log.partition)) other.endedAtMs = undefined;
    for (const event of log.events) this.#replayOne(event);
  }

  #replayOne(event: ModelEvent): void {
    const { target, revision, atMs } = event;
    if (event.kind === "changed") return;
    for (const other of this.#sessionsOf(revision.partition)) {
      const { sessionId, subject, createdAtMs } = other.session;
      const isOlder = compareRevisions(other.issued, event.cutoff ?? revision) < 0;
      const isEnded =
        (target.kind === "session" && target.sessionId === sessionId) ||
        (target.kind === "subject" &&
          target.subject === subject &&
          isOlder &&
          !target.except.includes(sessionId)) ||
        (target.kind === "tenant" &&
          (target.createdBeforeMs === undefined ? isOlder : createdAtMs < target.createdBeforeMs));
      if (isEnded) other.endedAtMs ??= atMs;
    }
  }
}

function isSubject(other: ModelSession, target: RevocationEvent["target"]): boolean {
  return target.kind === "subject" && target.subject === other.session.subject;
}
