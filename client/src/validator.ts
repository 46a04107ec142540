import type { Clock } from "./base/clock.js";
import {
  SessionAuthorityError,
  toSessionAuthorityError,
  type FailureReason,
} from "./base/errors.js";
import { ageMs, instantOf, type Instant } from "./base/instant.js";
import { compareRevisions, type Revision } from "./base/revision.js";
import type { ValidationReply } from "./base/session.js";
import { revealToken, sessionIdIn, tokenDigest, type TokenLike } from "./base/token.js";
import { checkConditions, type AskedConditions } from "./cache/conditions.js";
import type { Entry, Facts } from "./cache/entry-table.js";
import { SingleFlight, type Flight } from "./cache/single-flight.js";
import type { ValidationCache } from "./cache/validation-cache.js";
import type { Question } from "./cache/verdict.js";
import { countOne, type ClientCounters } from "./counters.js";
import type { RevocationWatch } from "./freshness/revocation-watch.js";
import { HeldQuestions } from "./held-questions.js";
import type { ResolvedOptions } from "./options.js";
import type { TouchReporter } from "./touch-reporter.js";
import type { Transport } from "./transport/transport.js";
import type { Conditions, ValidateOptions, Validation } from "./validation.js";

/** An answer that may not be used is asked for again, so often in all. */
const QUESTIONS_MAX = 3;
/** S-22: no call site may accept anything older. */
const STALE_MAX_MS = 30_000;

/** Failures that say nothing about whether this service may ask. */
const STALE_AFTER: ReadonlySet<FailureReason> = new Set<FailureReason>([
  "unreachable",
  "timeout",
  "overloaded",
  "rate-limited",
  "store-unavailable",
  "store-outcome-unknown",
  "behind",
  "draining",
  "not-started",
  "too-many-calls",
]);

/** What a validator is made of. */
export interface ValidatorParts {
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly cache: ValidationCache;
  readonly watch: RevocationWatch;
  readonly touches: TouchReporter;
  readonly counters: ClientCounters;
}

/** One call, with everything it needs read once. */
interface Asked {
  readonly token: string;
  readonly sessionId: string;
  readonly digest: string;
  readonly touch: boolean;
  readonly conditions: AskedConditions | undefined;
  readonly minRevision: Revision | undefined;
  readonly staleMaxMs: number;
  readonly signal: AbortSignal | undefined;
}

/** What came of one question: an answer to judge, or why there is none. */
type Outcome =
  | { readonly kind: "answered"; readonly reply: ValidationReply }
  | { readonly kind: "failed"; readonly error: SessionAuthorityError };

/** Answers tokens: from memory where that keeps the promise, otherwise by asking. */
export class Validator {
  readonly #parts: ValidatorParts;
  readonly #clock: Clock;
  readonly #flights = new SingleFlight();
  readonly #held: HeldQuestions;

  constructor(parts: ValidatorParts) {
    this.#parts = parts;
    this.#clock = parts.options.clock;
    this.#held = new HeldQuestions(this.#clock);
  }

  /** Questions on their way to the authority. */
  get inFlight(): number {
    return this.#flights.count;
  }

  /** Answers from memory or says `undefined`: then the authority has to be asked. */
  peek(token: TokenLike | undefined, options: ValidateOptions): Validation | undefined {
    const asked = ask(token, options);
    return "kind" in asked ? asked : this.#fromMemory(asked, instantOf(this.#clock));
  }

  /** Answers one token. Never rejects but for a programmer's error. */
  async validate(token: TokenLike | undefined, options: ValidateOptions): Promise<Validation> {
    const asked = ask(token, options);
    if ("kind" in asked) return asked;
    if (asked.staleMaxMs > 0) this.#parts.watch.noteStaleAllowed();
    const known = this.#fromMemory(asked, instantOf(this.#clock));
    if (known !== undefined) return known;
    this.#parts.counters.misses += 1;
    return await this.#fromAuthority(asked);
  }

  #fromMemory(asked: Asked, now: Instant): Validation | undefined {
    const { cache, counters } = this.#parts;
    const hit = cache.hit(asked, now);
    if (hit.kind === "denied") {
      counters.deniedFromMemory += 1;
      return { kind: "invalid", outcome: hit.outcome, ended: hit.ended };
    }
    if (hit.kind === "miss") return undefined;
    const { facts } = hit.entry;
    const elapsedMs = ageMs(hit.entry.sentAt, now);
    // A report may come too late to save it: the authority records this use itself.
    if (asked.touch && this.#isNearIdle(facts, elapsedMs)) return undefined;
    counters.hits += 1;
    const verdict = checkConditions(facts, asked.conditions, elapsedMs);
    if (verdict.kind === "refused") return { kind: "invalid", outcome: verdict.outcome };
    if (asked.touch) this.#parts.touches.record(facts.session.sessionId, asked.digest, now);
    return {
      kind: "valid",
      session: facts.session,
      source: "cache",
      ageMs: hit.ageMs,
      superseded: facts.superseded,
      bindingWarnings: verdict.bindingWarnings,
    };
  }

  async #fromAuthority(asked: Asked): Promise<Validation> {
    for (let questions = 1; ; questions += 1) {
      const refusal = this.#held.find(asked.digest);
      if (refusal !== undefined) return this.#unanswered(asked, refusal);
      const flight = this.#board(asked);
      if (flight === undefined) return this.#unanswered(asked, tooManyCalls());
      const outcome = await settled(flight.reply, asked.signal);
      if (outcome.kind === "failed") return this.#unanswered(asked, outcome.error);
      const answer = this.#judge(asked, flight, outcome.reply);
      if (answer !== "ask-again") return answer;
      if (questions >= QUESTIONS_MAX) return this.#unanswered(asked, unusableAnswers());
    }
  }

  /** What an answer means to this caller, whether it asked or joined. */
  #judge(asked: Asked, flight: Flight, reply: ValidationReply): Validation | "ask-again" {
    const { cache, counters, touches } = this.#parts;
    const now = instantOf(this.#clock);
    const verdict = cache.judge(flight.question, reply, now);
    if (verdict.kind === "discard") {
      countOne(counters.discarded, verdict.cause);
      return "ask-again";
    }
    if (verdict.kind === "deny") {
      const { outcome, ended } = verdict;
      return { kind: "invalid", outcome, ...(ended === undefined ? {} : { ended }) };
    }
    const { facts } = verdict;
    const { minRevision } = asked;
    if (minRevision !== undefined && compareRevisions(facts.asOf, minRevision) < 0) {
      return "ask-again";
    }
    const met = checkConditions(facts, asked.conditions, verdict.ageMs);
    if (met.kind === "refused") return { kind: "invalid", outcome: met.outcome };
    if (asked.touch && !flight.touch) {
      const { sessionId } = facts.session;
      touches.record(sessionId, asked.digest, now);
      if (this.#isNearIdle(facts, verdict.ageMs)) touches.flushSoon();
    }
    return {
      kind: "valid",
      session: facts.session,
      source: "authority",
      ageMs: verdict.ageMs,
      superseded: facts.superseded,
      bindingWarnings: met.bindingWarnings,
    };
  }

  /** Joins the flight of this token, or starts one. */
  #board(asked: Asked): Flight | undefined {
    const { cache, options } = this.#parts;
    const known = this.#flights.find(asked.digest, (question) => cache.isJoinable(question));
    if (known !== undefined && asked.minRevision === undefined) return known;
    if (this.#flights.count >= options.inFlightMax) return undefined;
    const question = cache.ask(asked.sessionId, instantOf(this.#clock));
    // What has conditions is a use only once they are known to be met.
    const touch = asked.touch && asked.conditions === undefined;
    const flight = { question, touch, reply: this.#fly(asked, question, touch) };
    this.#flights.add(asked.digest, flight);
    return flight;
  }

  async #fly(asked: Asked, question: Question, touch: boolean): Promise<ValidationReply> {
    const { cache, counters, options, transport, watch } = this.#parts;
    const { token, digest, minRevision } = asked;
    this.#flights.started();
    try {
      const reply = await transport.validate(
        { tenantId: options.tenantId, token, touch, minRevision },
        { deadlineMs: Math.min(options.deadlineMs, watch.boundMs / 2) },
      );
      const refusal = cache.fill(question, { digest, reply }, instantOf(this.#clock));
      if (refusal !== undefined) countOne(counters.fillsRefused, refusal);
      return reply;
    } catch (thrown) {
      this.#held.note(digest, toSessionAuthorityError(thrown));
      throw thrown;
    } finally {
      this.#flights.ended(digest, question);
    }
  }

  /** Nobody could say. A call site may have chosen an old answer over none. */
  #unanswered(asked: Asked, error: SessionAuthorityError): Validation {
    const { cache, counters } = this.#parts;
    const now = instantOf(this.#clock);
    const stale = STALE_AFTER.has(error.reason) && asked.staleMaxMs > 0 && cache.stale(asked, now);
    if (stale !== undefined && stale !== false) {
      return this.#fromStale(asked, stale.entry, { ageMs: stale.ageMs, now });
    }
    counters.unavailable += 1;
    const { reason, retryAfterMs } = error;
    return { kind: "unavailable", reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }

  #fromStale(asked: Asked, entry: Entry, age: { ageMs: number; now: Instant }): Validation {
    const { counters, touches, watch } = this.#parts;
    const { facts } = entry;
    const verdict = checkConditions(facts, asked.conditions, ageMs(entry.sentAt, age.now));
    if (verdict.kind === "refused") return { kind: "invalid", outcome: verdict.outcome };
    counters.staleAccepts += 1;
    watch.noteStaleAccept();
    if (asked.touch) touches.record(facts.session.sessionId, asked.digest, age.now);
    return { kind: "stale", session: facts.session, ageMs: age.ageMs };
  }

  #isNearIdle(facts: Facts, elapsedMs: number): boolean {
    if (facts.session.idleExpiresAtMs === undefined) return false;
    return facts.validForMs - elapsedMs <= 2 * this.#parts.options.touchFlushMs;
  }
}

function ask(token: TokenLike | undefined, options: ValidateOptions): Asked | Validation {
  if (token === undefined) return { kind: "invalid", outcome: "no-token" };
  const text = revealToken(token);
  if (text === "") return { kind: "invalid", outcome: "no-token" };
  const staleMaxMs = staleBound(options.maxStaleOnErrorMs);
  const sessionId = sessionIdIn(text);
  if (sessionId === undefined) return { kind: "invalid", outcome: "malformed" };
  return {
    token: text,
    sessionId,
    digest: tokenDigest(text),
    touch: options.touch ?? true,
    conditions: conditionsOf(options),
    minRevision: options.minRevision,
    staleMaxMs,
    signal: options.signal,
  };
}

function staleBound(maxStaleOnErrorMs: number | undefined): number {
  const boundMs = maxStaleOnErrorMs ?? 0;
  if (boundMs >= 0 && boundMs <= STALE_MAX_MS) return boundMs;
  throw new RangeError(
    `Cannot accept answers ${boundMs} ms old: maxStaleOnErrorMs must be 0 to ${STALE_MAX_MS}`,
  );
}

function conditionsOf(given: Conditions): AskedConditions | undefined {
  const { audienceClientIds = [], binding, requirements } = given;
  if (audienceClientIds.length === 0 && binding === undefined && requirements === undefined) {
    return undefined;
  }
  return {
    audienceClientIds,
    binding: binding && {
      ipAddress: binding.ipAddress ?? "",
      userAgent: binding.userAgent ?? "",
      deviceId: binding.deviceId ?? "",
    },
    minAal: requirements?.minAal ?? 0,
    maxAuthAgeMs: requirements?.maxAuthAgeMs,
    requiredAmr: requirements?.requiredAmr ?? [],
  };
}

/** Waits for an answer as long as this caller wants to; the question goes on without it. */
async function settled(
  reply: Promise<ValidationReply>,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  return await new Promise((resolve) => {
    function finish(outcome: Outcome): void {
      signal?.removeEventListener("abort", giveUp);
      resolve(outcome);
    }
    function giveUp(): void {
      finish({ kind: "failed", error: givenUp() });
    }
    reply.then(
      (value) => {
        finish({ kind: "answered", reply: value });
      },
      (thrown: unknown) => {
        finish({ kind: "failed", error: toSessionAuthorityError(thrown) });
      },
    );
    if (signal?.aborted === true) giveUp();
    else signal?.addEventListener("abort", giveUp);
  });
}

function givenUp(): SessionAuthorityError {
  return failure("cancelled", "Cannot wait for the validation: the caller's signal aborted");
}

function tooManyCalls(): SessionAuthorityError {
  return failure("too-many-calls", "Cannot validate: inFlightMax validations are on their way");
}

function unusableAnswers(): SessionAuthorityError {
  return failure("unusable-reply", `Cannot validate: ${QUESTIONS_MAX} answers were out of date`);
}

function failure(reason: FailureReason, message: string): SessionAuthorityError {
  return new SessionAuthorityError({ reason, applied: "unknown", message });
}
