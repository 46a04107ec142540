import type { Clock, Timer } from "./base/clock.js";
import { SessionAuthorityError } from "./base/errors.js";
import type { RevocationEvent } from "./base/event.js";
import type { Randomness } from "./base/random.js";
import { partitionOf, type Revision } from "./base/revision.js";
import type { Session } from "./base/session.js";
import { revealToken, sessionIdOf, type TokenLike } from "./base/token.js";
import type { Changes } from "./cache/log-follower.js";
import { Backoff } from "./freshness/backoff.js";
import type { Validation } from "./validation.js";

/** A session that is followed for as long as a connection lives. */
export interface Follow {
  /**
   * Aborts when the session is revoked, expires, or can no longer be shown to
   * be valid. `signal.reason` is the `Validation` that says why.
   */
  readonly signal: AbortSignal;
  /** Stops following. The signal never aborts after it. */
  close(): void;
}

/** What followers are made of. */
export interface FollowersOptions {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly followersMax: number;
  /** Asks again, without counting as a use, for an answer at least that new. */
  recheck(token: TokenLike, minRevision: Revision | undefined): Promise<Validation>;
  /** What the cache has applied of a partition. */
  applied(partition: number): Revision | undefined;
  /** Reads a session by its id. */
  read(sessionId: string): Promise<Session>;
  boundMs(): number;
}

/** How long a recheck may stay without an answer before the follower gives up, in ms. */
const UNANSWERED_MAX_MS = 30_000;
/** Node runs a longer timer at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

interface Follower {
  readonly token: TokenLike;
  readonly sessionId: string;
  readonly controller: AbortController;
  readonly backoff: Backoff;
  timer: Timer | undefined;
  session: Session | undefined;
  /**
   * What was heard of the token's rotation since it was last answered valid. A
   * periodic one retires the token of a session that goes on; any other kind was
   * meant to cut off whoever holds the token, and stays so whatever follows.
   */
  rotation: "none" | "periodic" | "defensive";
  isChecking: boolean;
  /** Something happened while it was being checked: what comes back may be older. */
  isDirty: boolean;
  unansweredSinceMs: number | undefined;
  /** Where the last reset led. What memory knew before it may have missed the end. */
  minRevision: Revision | undefined;
}

/**
 * Watches sessions on behalf of connections that outlive a request: WebSockets
 * and server-sent events. An event ends them at once; a reset, after which an
 * event may have been missed, makes them ask again, spread over the staleness
 * bound so that nothing stampedes.
 */
export class Followers {
  readonly #options: FollowersOptions;
  readonly #bySession = new Map<string, Set<Follower>>();
  #count = 0;
  #isClosed = false;

  constructor(options: FollowersOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#count;
  }

  /** Starts following. A token that cannot be valid aborts at once. */
  follow(token: TokenLike | undefined): Follow {
    const controller = new AbortController();
    const sessionId = token === undefined ? undefined : sessionIdOf(revealToken(token));
    if (token === undefined || sessionId === undefined) {
      controller.abort({
        kind: "invalid",
        outcome: token === undefined ? "no-token" : "malformed",
      });
      return { signal: controller.signal, close: () => undefined };
    }
    if (this.#isClosed || this.#count >= this.#options.followersMax) {
      const reason = this.#isClosed ? "closed" : "too-many-calls";
      controller.abort({ kind: "unavailable", reason });
      return { signal: controller.signal, close: () => undefined };
    }
    const follower: Follower = {
      token,
      sessionId,
      controller,
      backoff: new Backoff(this.#options.randomness),
      timer: undefined,
      session: undefined,
      rotation: "none",
      isChecking: false,
      isDirty: false,
      unansweredSinceMs: undefined,
      minRevision: undefined,
    };
    this.#add(follower);
    this.#check(follower);
    return {
      signal: controller.signal,
      close: () => {
        this.#remove(follower);
      },
    };
  }

  /** Tells followers what happened. */
  onChanges(changes: Changes): void {
    for (const event of changes.events) this.#onEvent(event);
    const resets = new Set(changes.resets.map(({ partition }) => partition));
    if (resets.size > 0) this.#recheckPartitions(resets);
  }

  /** Ends all following without aborting anything. */
  close(): void {
    this.#isClosed = true;
    for (const follower of this.#all()) this.#remove(follower);
  }

  #onEvent(event: RevocationEvent): void {
    const { target } = event;
    if (target.kind === "session") {
      for (const follower of [...(this.#bySession.get(target.sessionId) ?? [])]) {
        this.#onOwnEvent(follower, event);
      }
      return;
    }
    // The cache has applied it already: those it did not end are answered from memory.
    for (const follower of this.#all()) {
      if (partitionOf(follower.sessionId) !== event.revision.partition) continue;
      if (mayConcern(event, follower.session)) this.#check(follower);
    }
  }

  #onOwnEvent(follower: Follower, event: RevocationEvent): void {
    if (event.kind === "changed" && event.trigger === "periodic") {
      if (follower.rotation === "none") follower.rotation = "periodic";
      return;
    }
    if (event.kind === "changed" && event.trigger !== undefined) follower.rotation = "defensive";
    this.#check(follower);
  }

  #recheckPartitions(partitions: ReadonlySet<number>): void {
    const { randomness } = this.#options;
    const boundMs = this.#options.boundMs();
    for (const follower of this.#all()) {
      const partition = partitionOf(follower.sessionId);
      if (!partitions.has(partition)) continue;
      follower.isDirty = follower.isChecking;
      follower.minRevision = this.#options.applied(partition);
      // If the token was rotated since, nobody heard by what.
      follower.rotation = "none";
      this.#checkIn(follower, randomness.fraction() * boundMs);
    }
  }

  #checkIn(follower: Follower, delayMs: number): void {
    follower.timer?.cancel();
    follower.timer = this.#options.clock.setTimer(Math.min(delayMs, TIMER_MAX_MS), () => {
      this.#check(follower);
    });
  }

  #check(follower: Follower): void {
    follower.isDirty = follower.isChecking;
    if (follower.isChecking || !this.#has(follower)) return;
    follower.isChecking = true;
    this.#recheck(follower).catch(() => {
      this.#onUnanswered(follower, { kind: "unavailable", reason: "internal" });
    });
  }

  async #recheck(follower: Follower): Promise<void> {
    const answer = await this.#options.recheck(follower.token, follower.minRevision);
    const verdict = await this.#afterRotation(follower, answer);
    follower.isChecking = false;
    if (!this.#has(follower)) return;
    if (follower.isDirty) {
      this.#check(follower);
      return;
    }
    switch (verdict.kind) {
      case "valid":
        this.#onValid(follower, verdict.session);
        break;
      case "invalid":
        this.#end(follower, verdict);
        break;
      case "unavailable":
      case "stale":
        this.#onUnanswered(follower, verdict);
        break;
    }
  }

  /** The followed token may die with a periodic rotation; the session it opened does not. */
  async #afterRotation(follower: Follower, answer: Validation): Promise<Validation> {
    const isRotated = answer.kind === "invalid" && answer.outcome === "rotated";
    if (!isRotated || follower.rotation !== "periodic") {
      const isClean = answer.kind === "valid" && !follower.isDirty;
      // Asked after that event and still valid: it was the rotation that made this token.
      if (isClean && follower.rotation === "defensive") follower.rotation = "none";
      return answer;
    }
    try {
      const session = await this.#options.read(follower.sessionId);
      if (session.state !== "active") return answer;
      const bindingWarnings: never[] = [];
      return {
        kind: "valid",
        session,
        source: "authority",
        ageMs: 0,
        superseded: true,
        bindingWarnings,
      };
    } catch (thrown) {
      const reason = thrown instanceof SessionAuthorityError ? thrown.reason : "internal";
      return reason === "session-not-found" ? answer : { kind: "unavailable", reason };
    }
  }

  #onValid(follower: Follower, session: Session): void {
    const { clock } = this.#options;
    follower.session = session;
    follower.unansweredSinceMs = undefined;
    follower.backoff.reset();
    const deadlineMs = Math.min(
      session.idleExpiresAtMs ?? Number.POSITIVE_INFINITY,
      session.absoluteExpiresAtMs,
    );
    // Whether it expired is for the authority to say: its clock decides, and uses elsewhere count.
    const leftMs = Math.max(deadlineMs - clock.wallMs(), this.#options.boundMs());
    this.#checkIn(follower, leftMs);
  }

  #onUnanswered(follower: Follower, verdict: Validation): void {
    const nowMs = this.#options.clock.monotonicMs();
    follower.isChecking = false;
    follower.unansweredSinceMs ??= nowMs;
    if (nowMs - follower.unansweredSinceMs >= UNANSWERED_MAX_MS) this.#end(follower, verdict);
    else this.#checkIn(follower, follower.backoff.nextMs());
  }

  #end(follower: Follower, verdict: Validation): void {
    this.#remove(follower);
    follower.controller.abort(verdict);
  }

  #all(): readonly Follower[] {
    return [...this.#bySession.values()].flatMap((followers) => [...followers]);
  }

  #has(follower: Follower): boolean {
    return this.#bySession.get(follower.sessionId)?.has(follower) === true;
  }

  #add(follower: Follower): void {
    const followers = this.#bySession.get(follower.sessionId) ?? new Set();
    this.#bySession.set(follower.sessionId, followers.add(follower));
    this.#count += 1;
  }

  #remove(follower: Follower): void {
    const followers = this.#bySession.get(follower.sessionId);
    if (followers?.delete(follower) !== true) return;
    if (followers.size === 0) this.#bySession.delete(follower.sessionId);
    follower.timer?.cancel();
    this.#count -= 1;
  }
}

/** Whether an event of many sessions may have ended this one; yes where it is not known yet. */
function mayConcern(event: RevocationEvent, session: Session | undefined): boolean {
  if (session === undefined || event.target.kind === "all") return true;
  if (event.tenantId !== session.tenantId) return false;
  return event.target.kind !== "subject" || event.target.subject === session.subject;
}
