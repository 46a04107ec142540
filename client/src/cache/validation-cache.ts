/**
 * The cache that keeps the promise: no session is accepted from memory later
 * than L after its revocation committed, whatever happens to networks, streams,
 * processes, event loops or wall clocks.
 *
 * It is a reducer. It does no I/O, reads no clock and sets no timer: messages
 * and instants go in, verdicts come out, and the same input always gives the
 * same output. `test/unit/client/promise.property.test.ts` runs it against a
 * model of the authority under thousands of hostile schedules.
 *
 * Three ideas carry it.
 *
 * A message's arrival proves nothing about its age. After a one-way stall of
 * two seconds, heartbeats arrive two seconds old and look new. So nothing that
 * arrives on the stream renews a lease, and the two things that do (a Sync, and
 * the answer to a validation) count from when they were *sent*: the authority
 * read its log after that, so what the answer says was true then. Time that the
 * answer spent on the way, in a socket buffer or behind a blocked event loop,
 * is counted against it without being measured.
 *
 * A lease vouches for the entries that every event was applied to. A Sync shows
 * that all events up to its sending have been applied, hence that an entry which
 * survived them is as good as new. An entry from below a reset has not seen
 * them all: it may only use what is left of its own lease. That makes a reset
 * O(1), and nothing stampedes.
 *
 * An answer may be overtaken by the event that ends it. Tombstones, marks and
 * cutoffs stop it from being kept. They are bounded, and whatever is forgotten
 * raises the floor of its partition: an answer computed below the floor may
 * have missed something, so it is used for the one who asked and not kept.
 */
import type { RevocationEvent, SyncReply, WatchMessage } from "../base/event.js";
import { ageMs, type Instant } from "../base/instant.js";
import { compareRevisions, partitionOf, type Revision } from "../base/revision.js";
import type { ValidationReply } from "../base/session.js";
import { EntryTable, type Entry, type Facts } from "./entry-table.js";
import { EventApplier, type LateAccepts } from "./event-applier.js";
import { KnownRevocations } from "./known-revocations.js";
import {
  LogFollower,
  noChanges,
  type Changes,
  type SyncQuestion,
  type SyncResult,
} from "./log-follower.js";
import { OwnMutationStamps, type OwnMutation } from "./own-mutations.js";
import type { Lease, PartitionState } from "./partition-state.js";
import {
  factsOf,
  isBehind,
  isBelow,
  type FillRefusal,
  type Hit,
  type Question,
  type Verdict,
} from "./verdict.js";

/** How old the answer of an authority may be that grants no lease: the usual L, in ms. */
const UNGRANTED_BOUND_MS = 3_000;

/** A token that memory is asked about. */
export interface AskedToken {
  readonly sessionId: string;
  readonly digest: string;
  /** The answer must be at least this new. */
  readonly minRevision?: Revision | undefined;
}

/** Bounds of the cache. */
export interface CacheLimits {
  readonly entriesMax: number;
  readonly tombstonesMax: number;
  readonly marksMax: number;
  readonly cutoffsMax: number;
  /** Own mutations that are remembered by session. */
  readonly ownMutationsMax: number;
  /** No lease is longer than this, in ms, whatever the authority grants. */
  readonly maxStalenessMs: number;
}

/** See the head of this file. */
export class ValidationCache {
  readonly #limits: CacheLimits;
  readonly #entries: EntryTable;
  readonly #known: KnownRevocations;
  readonly #applier: EventApplier;
  readonly #stamps: OwnMutationStamps;
  #log: LogFollower;
  #era = 0;
  #lastHeardAt: Instant | undefined;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
    this.#entries = new EntryTable(limits.entriesMax);
    const raiseFloor = (revision: Revision): void => {
      this.#log.partition(revision.partition).raiseFloor(revision);
    };
    this.#known = new KnownRevocations(limits, raiseFloor);
    this.#applier = new EventApplier(this.#entries, this.#known, raiseFloor);
    this.#stamps = new OwnMutationStamps(limits.ownMutationsMax);
    this.#log = this.#newLog();
  }

  get size(): number {
    return this.#entries.size;
  }

  get tombstoneCount(): number {
    return this.#known.tombstoneCount;
  }

  get lateAccepts(): LateAccepts {
    return this.#applier.lateAccepts;
  }

  get partitions(): readonly PartitionState[] {
    return this.#log.partitions;
  }

  /** When the stream last said anything. It proves nothing, and operators like to know. */
  get lastHeardAt(): Instant | undefined {
    return this.#lastHeardAt;
  }

  /** All entries, for inspection. */
  entries(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  position(): readonly Revision[] {
    return this.#log.position();
  }

  isFresh(now: Instant): boolean {
    return this.#log.isFresh(now);
  }

  /** Answers a token from memory, as of `now`, or says that it cannot. */
  hit(token: AskedToken, now: Instant): Hit {
    const denial = this.#denialOf(token.sessionId);
    if (denial !== undefined) return denial;
    const entry = this.#entryOf(token, now);
    if (entry === undefined) return { kind: "miss" };
    const state = this.#log.partition(partitionOf(token.sessionId));
    const { minRevision } = token;
    if (minRevision !== undefined && !satisfies(entry, state, minRevision)) return { kind: "miss" };
    const lease = leaseOf(entry, state, now);
    const age = ageMs(lease.sentAt, now);
    if (age > lease.grantedMs) return { kind: "miss" };
    this.#use(entry, now);
    return { kind: "hit", entry, ageMs: age };
  }

  /**
   * What memory still holds of a token although no lease vouches for it, for
   * call sites that prefer that to nothing (S-22). Never what is known to have
   * ended.
   */
  stale(
    token: { sessionId: string; digest: string; staleMaxMs: number },
    now: Instant,
  ): { readonly entry: Entry; readonly ageMs: number } | undefined {
    if (this.#denialOf(token.sessionId) !== undefined) return undefined;
    const entry = this.#entryOf(token, now);
    if (entry === undefined) return undefined;
    const state = this.#log.partition(partitionOf(token.sessionId));
    const age = ageMs(leaseOf(entry, state, now).sentAt, now);
    if (age > token.staleMaxMs) return undefined;
    this.#use(entry, now);
    return { entry, ageMs: age };
  }

  /** Starts a validation that is sent at `now`. */
  ask(sessionId: string, now: Instant): Question {
    return {
      sessionId,
      sentAt: now,
      tick: this.#stamps.next(),
      appliedAtSend: this.#log.partition(partitionOf(sessionId)).applied,
      era: this.#era,
    };
  }

  /** Whether somebody who asks now may be given the answer to an earlier question. */
  isJoinable(question: Question): boolean {
    const { sessionId, tick, era, appliedAtSend } = question;
    if (era !== this.#era || !this.#stamps.isAfterAll(sessionId, tick)) return false;
    // A change that has been heard of since may be missing in the answer (I10).
    const mark = this.#known.markOf(sessionId);
    return mark === undefined || (appliedAtSend !== undefined && !isBelow(appliedAtSend, mark));
  }

  /** What an answer means to one who asked or joined, at `now`. Changes nothing. */
  judge(question: Question, reply: ValidationReply, now: Instant): Verdict {
    const age = ageMs(question.sentAt, now);
    if (age > this.#directBoundMs(reply)) return { kind: "discard", cause: "too-old" };
    if (question.era !== this.#era || isBehind(question, reply)) {
      return { kind: "discard", cause: "behind" };
    }
    if (reply.outcome !== "valid") {
      return { kind: "deny", outcome: reply.outcome, ended: reply.ended };
    }
    const facts = factsOf(reply);
    if (facts?.session.sessionId !== question.sessionId) {
      return { kind: "discard", cause: "unusable" };
    }
    const denial = this.#denialOf(question.sessionId);
    if (denial !== undefined) return { ...denial, kind: "deny" };
    const ended = this.#known.cutoffEndOf(facts.session, facts.issued);
    if (ended !== undefined) return { kind: "deny", outcome: "revoked", ended };
    if (age >= facts.validForMs) return { kind: "discard", cause: "too-old" };
    return { kind: "accept", facts, ageMs: age };
  }

  /**
   * Keeps an answer if it may be kept, once for each question. Returns why it
   * was not, or undefined where it was or where there was nothing to keep.
   */
  fill(
    question: Question,
    answer: { readonly digest: string; readonly reply: ValidationReply },
    now: Instant,
  ): FillRefusal | undefined {
    const { digest, reply } = answer;
    const verdict = this.judge(question, reply, now);
    if (verdict.kind === "deny") this.#dropAnswered(question.sessionId, digest);
    if (verdict.kind !== "accept") return undefined;
    const refusal = this.#refusalOf(question, verdict.facts, reply);
    if (refusal !== undefined) return refusal;
    this.#entries.put({
      digest,
      facts: verdict.facts,
      sentAt: question.sentAt,
      sentTick: question.tick,
      grantedMs: this.#grantedMs(reply.maxStalenessMs),
      lastHitWallMs: undefined,
    });
    return undefined;
  }

  /** Applies a message of the stream. `now` is when it arrived, which renews nothing. */
  applyMessage(message: WatchMessage, now: Instant): Changes {
    this.#lastHeardAt = now;
    return this.#log.applyMessage(message);
  }

  /** Starts a Sync that is sent at `now`. */
  askSync(now: Instant): SyncQuestion {
    return this.#log.ask(now);
  }

  /** Applies what a Sync returned. `now` is when it arrived, which renews nothing. */
  applySync(question: SyncQuestion, reply: SyncReply, now: Instant): SyncResult {
    this.#lastHeardAt = now;
    const grantedMs = this.#grantedMs(reply.maxStalenessMs);
    return this.#log.applySync(question, reply, { grantedMs, now });
  }

  /** Records what one of this client's own calls did, before its promise resolves. */
  ownMutation(mutation: OwnMutation): Changes {
    const changes = noChanges();
    switch (mutation.kind) {
      case "revoked": {
        this.#stamps.stamp(mutation.sessionId);
        const event = ownRevocation(mutation);
        if (this.#applier.apply(event)) changes.events.push(event);
        break;
      }
      case "changed":
        this.#stamps.stamp(mutation.sessionId);
        this.#known.mark(mutation.sessionId, mutation.revision);
        this.#entries.drop(mutation.sessionId);
        break;
      case "uncertain":
        this.#stamps.stamp(mutation.sessionId);
        this.#entries.drop(mutation.sessionId);
        break;
      case "cutoff":
        this.#stamps.stampAll();
        if (this.#applier.apply(mutation.event)) changes.events.push(mutation.event);
        break;
      case "subject-uncertain":
        this.#stamps.stampAll();
        this.#forgetSubject(mutation);
        break;
    }
    return changes;
  }

  /** Drops an entry that turned out to be worthless. */
  drop(sessionId: string): void {
    this.#entries.drop(sessionId);
  }

  /**
   * Starts over: revisions of another deployment compare with nothing that is
   * known here. Questions on their way are void.
   */
  forgetEverything(): void {
    this.#era += 1;
    this.#entries.clear();
    this.#known.clear();
    this.#stamps.stampAll();
    this.#log = this.#newLog();
  }

  #newLog(): LogFollower {
    return new LogFollower((event) => this.#applier.apply(event));
  }

  #denialOf(sessionId: string): Extract<Hit, { kind: "denied" }> | undefined {
    const tombstone = this.#known.tombstoneOf(sessionId);
    if (tombstone === undefined) return undefined;
    // A request on its way during login must not log the user out.
    const outcome = tombstone.end.reason === "replaced" ? "rotated" : "revoked";
    return { kind: "denied", outcome, ended: tombstone.end };
  }

  #entryOf(token: { sessionId: string; digest: string }, now: Instant): Entry | undefined {
    const entry = this.#entries.get(token.sessionId);
    if (entry?.digest !== token.digest) return undefined;
    return ageMs(entry.sentAt, now) < entry.facts.validForMs ? entry : undefined;
  }

  #use(entry: Entry, now: Instant): void {
    entry.lastHitWallMs = now.wallMs;
    this.#entries.use(entry);
  }

  #grantedMs(maxStalenessMs: number): number {
    return Math.min(maxStalenessMs, this.#limits.maxStalenessMs);
  }

  /** An authority that grants no lease still answers those who ask. */
  #directBoundMs(reply: ValidationReply): number {
    const grantedMs = this.#grantedMs(reply.maxStalenessMs);
    return grantedMs > 0 ? grantedMs : this.#grantedMs(UNGRANTED_BOUND_MS);
  }

  #refusalOf(question: Question, facts: Facts, reply: ValidationReply): FillRefusal | undefined {
    const { session, asOf } = facts;
    const state = this.#log.partition(asOf.partition);
    if (!reply.cacheable) return "not-cacheable";
    if (state.applied === undefined) return "no-position";
    if (asOf.generation !== state.applied.generation) return "other-generation";
    if (isBelow(asOf, state.floor)) return "below-floor";
    if (isBelow(asOf, this.#known.markOf(session.sessionId))) return "marked";
    if (isBelow(asOf, this.#known.latestCutoffCovering(session, asOf.partition))) {
      return "below-cutoff";
    }
    if (!this.#stamps.isAfterAll(question.sessionId, question.tick)) return "own-mutation";
    const entry = this.#entries.get(session.sessionId);
    return entry !== undefined && entry.sentTick > question.tick ? "newer-entry" : undefined;
  }

  /** The authority said no to this very token: what is kept of it is out of date. */
  #dropAnswered(sessionId: string, digest: string): void {
    if (this.#entries.get(sessionId)?.digest === digest) this.#entries.drop(sessionId);
  }

  #forgetSubject(mutation: Extract<OwnMutation, { kind: "subject-uncertain" }>): void {
    const { revision } = mutation;
    if (revision !== undefined) this.#log.partition(revision.partition).raiseFloor(revision);
    for (const { facts } of this.#entries.ofSubject(mutation.tenantId, mutation.subject)) {
      this.drop(facts.session.sessionId);
    }
  }
}

/** The newer of what vouches for an entry: its own question, or a Sync that covers it. */
function leaseOf(entry: Entry, state: PartitionState, now: Instant): Lease {
  const own = { sentAt: entry.sentAt, grantedMs: entry.grantedMs };
  const { lease } = state;
  if (lease === undefined || !state.covers(entry.facts.asOf)) return own;
  return ageMs(lease.sentAt, now) < ageMs(entry.sentAt, now) ? lease : own;
}

/** Both the answer and what was applied since must be at least that new. */
function satisfies(entry: Entry, state: PartitionState, minRevision: Revision): boolean {
  const { asOf } = entry.facts;
  // A revision of another partition compares with nothing here: the authority refuses it.
  if (asOf.partition !== minRevision.partition) return false;
  return !isBelow(asOf, minRevision) && hasApplied(state, minRevision);
}

function hasApplied(state: PartitionState, revision: Revision): boolean {
  return state.applied !== undefined && compareRevisions(state.applied, revision) >= 0;
}

function ownRevocation(mutation: Extract<OwnMutation, { kind: "revoked" }>): RevocationEvent {
  const { sessionId, revision, end } = mutation;
  return {
    revision,
    eventId: "",
    kind: "revoked",
    trigger: undefined,
    target: { kind: "session", sessionId },
    cutoff: undefined,
    tenantId: "",
    reason: end.reason,
    initiatingEntity: end.initiatingEntity,
    revokedAtMs: end.atMs,
  };
}
