import type { RevocationEvent, SyncReply, WatchMessage } from "#client/base/event.js";
import type { Instant } from "#client/base/instant.js";
import { compareRevisions, partitionOf, type Revision } from "#client/base/revision.js";
import type { Facts } from "#client/cache/entry-table.js";
import type { Changes } from "#client/cache/log-follower.js";
import { ValidationCache } from "#client/cache/validation-cache.js";
import { L_MS } from "./fixtures.js";
import { ModelAuthority, type ModelSession } from "./model-authority.js";

/*
 * A world in which everything that can go wrong between a client and its
 * authority does: replies and messages are late, lost and out of order, the log
 * is trimmed, history forks and loses events, clocks jump, memory is tiny. It
 * knows the true time and the true state, and checks after every step what the
 * client would accept.
 *
 * The client's clocks obey the assumption of DESIGN §1: they do not both stand
 * still. In a world of suspends the wall clock is right; in a world of steps the
 * monotonic clock is.
 */

/** An instant of the client that remembers the true time. */
interface TruthfulInstant extends Instant {
  readonly trueMs: number;
}

interface Action {
  readonly atMs: number;
  readonly side: "client" | "server";
  readonly run: () => void;
}

interface Stream {
  readonly cursor: Map<number, Revision>;
  isAlive: boolean;
  /** Delivery on one stream is in order. */
  lastArrivalMs: number;
}

/** One thing that happens. Delays are ms. */
export type Step =
  | { readonly kind: "tick"; readonly ms: number }
  | { readonly kind: "suspend"; readonly ms: number }
  | { readonly kind: "step-wall"; readonly ms: number }
  | { readonly kind: "create"; readonly who: number }
  | { readonly kind: "revoke"; readonly who: number }
  | { readonly kind: "change"; readonly who: number }
  | { readonly kind: "revoke-subject"; readonly who: number; readonly isExcepted: boolean }
  | {
      readonly kind: "revoke-tenant";
      readonly partition: number;
      readonly agoMs: number | undefined;
    }
  | { readonly kind: "reassert"; readonly partition: number }
  | { readonly kind: "trim"; readonly partition: number }
  | { readonly kind: "fork"; readonly partition: number; readonly lost: number }
  | ({ readonly kind: "validate"; readonly who: number } & Delays)
  | ({ readonly kind: "sync"; readonly missing: boolean } & Delays)
  | ({ readonly kind: "open" } & Delays)
  | { readonly kind: "cut" }
  | ({ readonly kind: "push" } & Delays)
  | ({ readonly kind: "own-revoke"; readonly who: number } & Delays)
  | ({ readonly kind: "own-change"; readonly who: number; readonly isQuiet: boolean } & Delays);

/** How long a message takes there and back, and whether it gets back. */
export interface Delays {
  readonly thereMs: number;
  readonly backMs: number;
  readonly isLost: boolean;
}

/** How much the client remembers, and which of its clocks lies. */
export interface WorldOptions {
  readonly isTiny: boolean;
  readonly lie: "suspend" | "step";
}

/** What the world has seen, so that a test can tell that it saw anything. */
export interface Tally {
  hits: number;
  directAccepts: number;
  denials: number;
  renewals: number;
  resets: number;
}

/** See the head of this file. */
export class World {
  readonly tally: Tally = { hits: 0, directAccepts: 0, denials: 0, renewals: 0, resets: 0 };
  readonly #options: WorldOptions;
  readonly #cache: ValidationCache;
  readonly #authority = new ModelAuthority();
  readonly #applied: RevocationEvent[] = [];
  readonly #ownEnded = new Set<string>();
  readonly #ownVersions = new Map<string, number>();
  #actions: Action[] = [];
  #streams: Stream[] = [];
  #trueMs = 10_000;
  #monotonicMs = 10_000;
  #wallMs = 10_000;

  constructor(options: WorldOptions) {
    const few = options.isTiny ? 1 : 1_000;
    this.#options = options;
    this.#cache = new ValidationCache({
      entriesMax: options.isTiny ? 3 : 1_000,
      tombstonesMax: few,
      marksMax: few,
      cutoffsMax: few,
      ownMutationsMax: few,
      maxStalenessMs: L_MS,
    });
  }

  /** Does one thing, then checks everything. */
  do(step: Step): void {
    this.#perform(step);
    this.#check();
  }

  #perform(step: Step): void {
    const authority = this.#authority;
    authority.nowMs = this.#trueMs;
    switch (step.kind) {
      case "tick":
        this.#passTime(step.ms);
        break;
      case "suspend":
        this.#suspend(step.ms);
        break;
      case "step-wall":
        if (this.#options.lie === "step") this.#wallMs += step.ms;
        break;
      case "create":
        authority.create(step.who);
        break;
      case "revoke":
        authority.revoke(authority.pick(step.who));
        break;
      case "change":
        authority.change(authority.pick(step.who));
        break;
      case "revoke-subject":
        authority.revokeSubject(authority.pick(step.who), step.isExcepted);
        break;
      case "revoke-tenant":
        authority.revokeTenant(
          step.partition,
          step.agoMs === undefined ? undefined : this.#trueMs - step.agoMs,
        );
        break;
      case "reassert":
        authority.reassert(step.partition);
        break;
      case "trim":
        authority.trim(step.partition);
        break;
      case "fork":
        authority.fork(step.partition, step.lost);
        break;
      case "validate":
        this.#validate(step.who, step);
        break;
      case "sync":
        this.#sync(step.missing, step);
        break;
      case "open":
        this.#open(step);
        break;
      case "cut":
        this.#cut();
        break;
      case "push":
        this.#push(step);
        break;
      case "own-revoke":
        this.#ownRevoke(step.who, step);
        break;
      case "own-change":
        this.#ownChange(step.who, step.isQuiet, step);
        break;
    }
  }

  #now(): TruthfulInstant {
    return { monotonicMs: this.#monotonicMs, wallMs: this.#wallMs, trueMs: this.#trueMs };
  }

  #passTime(ms: number): void {
    const endMs = this.#trueMs + ms;
    for (;;) {
      const next = this.#nextDue(endMs, ["client", "server"]);
      if (next === undefined) break;
      this.#moveTo(Math.max(next.atMs, this.#trueMs));
      this.#runAction(next);
    }
    this.#moveTo(endMs);
  }

  /** The client stands still; the authority does not. What arrived meanwhile is late. */
  #suspend(ms: number): void {
    if (this.#options.lie !== "suspend") return;
    const endMs = this.#trueMs + ms;
    for (;;) {
      const next = this.#nextDue(endMs, ["server"]);
      if (next === undefined) break;
      this.#trueMs = Math.max(next.atMs, this.#trueMs);
      this.#runAction(next);
    }
    this.#trueMs = endMs;
    this.#wallMs += ms;
  }

  #moveTo(trueMs: number): void {
    this.#monotonicMs += trueMs - this.#trueMs;
    this.#wallMs += trueMs - this.#trueMs;
    this.#trueMs = trueMs;
  }

  #nextDue(endMs: number, sides: readonly Action["side"][]): Action | undefined {
    const due = this.#actions.filter(({ atMs, side }) => atMs <= endMs && sides.includes(side));
    return due.reduce<Action | undefined>(
      (first, action) => (first === undefined || action.atMs < first.atMs ? action : first),
      undefined,
    );
  }

  #runAction(action: Action): void {
    this.#actions = this.#actions.filter((other) => other !== action);
    this.#authority.nowMs = this.#trueMs;
    action.run();
    if (action.side === "client") this.#check();
  }

  #later(side: Action["side"], afterMs: number, run: () => void): void {
    this.#actions.push({ side, atMs: this.#trueMs + afterMs, run });
  }

  /** The authority computes something when the request arrives; the client gets it later. */
  #exchange<T>(delays: Delays, serve: () => T, receive: (result: T) => void): void {
    this.#later("server", delays.thereMs, () => {
      const result = serve();
      if (delays.isLost) return;
      this.#later("client", delays.backMs, () => {
        receive(result);
      });
    });
  }

  #validate(who: number, delays: Delays): void {
    const target = this.#authority.pick(who);
    if (target === undefined) return;
    const question = this.#cache.ask(target.session.sessionId, this.#now());
    const known = this.#cache
      .position()
      .find(({ partition }) => partition === partitionOf(target.session.sessionId));
    this.#exchange(
      delays,
      () => this.#authority.validate(target),
      (answer) => {
        const now = this.#now();
        const verdict = this.#cache.judge(question, answer, now);
        this.#cache.fill(question, { digest: target.session.sessionId, reply: answer }, now);
        if (verdict.kind !== "accept") return;
        this.tally.directAccepts += 1;
        this.#accepted(target, verdict.facts, "directly");
        const isBehind = known !== undefined && compareRevisions(verdict.facts.asOf, known) < 0;
        if (isBehind) throw new Error("I10: an accepted answer is older than what was applied");
      },
    );
  }

  #sync(missing: boolean, delays: Delays): void {
    const question = this.#cache.askSync(this.#now());
    this.#exchange(
      delays,
      (): SyncReply => this.#authority.sync(question.position, missing),
      (answer) => {
        const { changes, renewed } = this.#cache.applySync(question, answer, this.#now());
        this.tally.renewals += renewed;
        this.#noteChanges(changes);
      },
    );
  }

  #open(delays: Delays): void {
    const position = this.#cache.position();
    const stream: Stream = { cursor: new Map(), isAlive: true, lastArrivalMs: 0 };
    this.#later("server", delays.thereMs, () => {
      for (const message of this.#authority.open(position, stream.cursor)) {
        this.#deliver(stream, message, delays.backMs);
      }
      this.#streams.push(stream);
    });
  }

  #cut(): void {
    const stream = this.#streams.shift();
    if (stream !== undefined) stream.isAlive = false;
  }

  /** Every open stream gets what it lacks, in one message. */
  #push(delays: Delays): void {
    for (const stream of this.#streams) {
      const message = this.#authority.push(stream.cursor);
      this.#deliver(stream, message, delays.backMs);
    }
  }

  #deliver(stream: Stream, message: WatchMessage, backMs: number): void {
    stream.lastArrivalMs = Math.max(stream.lastArrivalMs, this.#trueMs + backMs);
    this.#later("client", stream.lastArrivalMs - this.#trueMs, () => {
      if (!stream.isAlive) return;
      this.#noteChanges(this.#cache.applyMessage(message, this.#now()));
    });
  }

  #ownRevoke(who: number, delays: Delays): void {
    const target = this.#authority.pick(who);
    if (target === undefined) return;
    const { sessionId } = target.session;
    this.#exchange(
      delays,
      () => this.#authority.revoke(target),
      (revision) => {
        const end = { reason: "admin", atMs: undefined, initiatingEntity: "admin" } as const;
        this.#noteChanges(
          revision === undefined
            ? this.#cache.ownMutation({ kind: "uncertain", sessionId })
            : this.#cache.ownMutation({
                kind: "revoked",
                sessionId,
                revision,
                end: { ...end, reasonUser: "" },
              }),
        );
        if (revision !== undefined) this.#ownEnded.add(sessionId);
      },
    );
  }

  #ownChange(who: number, isQuiet: boolean, delays: Delays): void {
    const target = this.#authority.pick(who);
    if (target === undefined) return;
    const { sessionId } = target.session;
    this.#exchange(
      delays,
      () => {
        const revision = isQuiet
          ? this.#authority.changeQuietly(target)
          : this.#authority.change(target);
        return { revision, version: target.version };
      },
      ({ revision, version }) => {
        this.#noteChanges(
          revision === undefined
            ? this.#cache.ownMutation({ kind: "uncertain", sessionId })
            : this.#cache.ownMutation({ kind: "changed", sessionId, revision }),
        );
        this.#ownVersions.set(sessionId, Math.max(version, this.#ownVersions.get(sessionId) ?? 0));
      },
    );
  }

  #noteChanges(changes: Changes): void {
    this.tally.resets += changes.resets.length;
    for (const event of changes.events) {
      this.#applied.push(event);
    }
  }

  #check(): void {
    const now = this.#now();
    for (const target of this.#authority.sessions) {
      const { sessionId } = target.session;
      const hit = this.#cache.hit({ sessionId, digest: sessionId }, now);
      if (hit.kind === "denied") this.tally.denials += 1;
      if (hit.kind !== "hit") continue;
      this.tally.hits += 1;
      const { facts } = hit.entry;
      this.#accepted(target, facts, "from memory");
      if (facts.session.version < (this.#ownVersions.get(sessionId) ?? 0)) {
        throw new Error(`${sessionId} shown as it was before this client changed it`);
      }
    }
    this.#checkFills();
    this.#checkLeases();
  }

  #accepted(target: ModelSession, facts: Facts, how: string): void {
    const { sessionId } = target.session;
    const lateMs = target.endedAtMs === undefined ? 0 : this.#trueMs - target.endedAtMs;
    if (lateMs > L_MS) {
      throw new Error(`I1: ${sessionId} accepted ${how} ${lateMs} ms after its revocation`);
    }
    if (this.#trueMs >= target.deadlineMs) {
      throw new Error(`I12: ${sessionId} accepted ${how} after its deadline`);
    }
    if (this.#options.isTiny) return;
    if (this.#applied.some((event) => ends(event, facts))) {
      throw new Error(`I2: ${sessionId} accepted ${how} after its revocation was applied`);
    }
    if (this.#ownEnded.has(sessionId)) {
      throw new Error(`${sessionId} accepted ${how} after this client revoked it`);
    }
  }

  #checkFills(): void {
    for (const { facts } of this.#cache.entries()) {
      for (const event of this.#applied) {
        const isLater = compareRevisions(event.revision, facts.asOf) > 0;
        if (isLater && (ends(event, facts) || isChangeOf(event, facts))) {
          throw new Error(`I3: ${facts.session.sessionId} is kept below an event that covers it`);
        }
      }
    }
  }

  #checkLeases(): void {
    for (const { applied, lease } of this.#cache.partitions) {
      if (applied === undefined || lease === undefined) continue;
      const { trueMs } = lease.sentAt as TruthfulInstant;
      const missed = this.#authority
        .eventsOf(applied.partition, applied.generation)
        .find((event) => event.atMs < trueMs && compareRevisions(event.revision, applied) > 0);
      if (missed !== undefined) {
        throw new Error(`I4: partition ${applied.partition} is fresh and misses an event`);
      }
    }
  }
}

function isChangeOf(event: RevocationEvent, { session }: Facts): boolean {
  return (
    event.kind === "changed" &&
    event.target.kind === "session" &&
    event.target.sessionId === session.sessionId
  );
}

/** Whether an event, taken by itself, ended the session that an answer describes. */
function ends(event: RevocationEvent, { session, issued }: Facts): boolean {
  if (event.kind !== "revoked" || event.revision.partition !== issued.partition) return false;
  const { target } = event;
  const isOlder = compareRevisions(issued, event.cutoff ?? event.revision) < 0;
  switch (target.kind) {
    case "session":
      return target.sessionId === session.sessionId;
    case "subject":
      return (
        target.subject === session.subject && !target.except.includes(session.sessionId) && isOlder
      );
    case "tenant":
      return target.createdBeforeMs === undefined
        ? isOlder
        : session.createdAtMs < target.createdBeforeMs;
    case "all":
      return isOlder;
  }
}
