import type { Timer } from "../base/clock.js";
import type { SyncReply } from "../base/event.js";
import { SessionAuthorityError, toSessionAuthorityError } from "../base/errors.js";
import { instantOf } from "../base/instant.js";
import { retryAfterMsOf } from "../base/retry-after.js";
import type { SyncQuestion } from "../cache/log-follower.js";
import { Backoff, startOverPauseMs } from "./backoff.js";
import { isPositionRefused, type FollowingContext, type StaleReport } from "./surroundings.js";

const JITTER = 0.1;
const DEADLINE_MIN_MS = 200;

/** What the loop needs beyond the context. */
export interface SyncLoopHooks {
  /** Stale answers since the last report. */
  takeStaleReport(): StaleReport;
  /** The report did not arrive: it goes with the next Sync. */
  returnStaleReport(report: StaleReport): void;
  /** A Sync was applied or failed. */
  onSettled(): void;
}

/**
 * Keeps the lease: asks for what is missing every third of the staleness bound,
 * with or without a stream, at most one question at a time. A third leaves room
 * for one that fails: its deadline is a quarter of the bound, and the next goes
 * to another replica.
 */
export class SyncLoop {
  readonly #context: FollowingContext;
  readonly #hooks: SyncLoopHooks;
  readonly #backoff: Backoff;
  #timer: Timer | undefined;
  #isAsking = false;
  #isClosed = false;
  #round = 0;

  constructor(context: FollowingContext, hooks: SyncLoopHooks) {
    this.#context = context;
    this.#hooks = hooks;
    this.#backoff = new Backoff(context.randomness);
  }

  start(): void {
    this.#schedule(0);
  }

  /** What was asked is void; the next question comes after a pause. */
  restart(): void {
    this.#round += 1;
    this.#isAsking = false;
    this.#schedule(startOverPauseMs(this.#context.randomness));
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    const round = this.#round;
    this.#timer = this.#context.clock.setTimer(Math.max(0, delayMs), () => {
      if (this.#isAsking || round !== this.#round) return;
      this.#ask().catch((thrown: unknown) => {
        this.#recover(thrown);
      });
    });
  }

  async #ask(): Promise<void> {
    const round = this.#round;
    const question = this.#context.cache.askSync(instantOf(this.#context.clock));
    const stale = this.#hooks.takeStaleReport();
    this.#isAsking = true;
    this.#context.counters.syncs += 1;
    const answer = await this.#send(question, stale);
    if (answer instanceof SessionAuthorityError) this.#hooks.returnStaleReport(stale);
    if (round !== this.#round || this.#isClosed) return;
    this.#isAsking = false;
    if (answer instanceof SessionAuthorityError) this.#fail(question, answer);
    else this.#apply(question, answer);
    this.#hooks.onSettled();
  }

  async #send(
    question: SyncQuestion,
    stale: StaleReport,
  ): Promise<SyncReply | SessionAuthorityError> {
    const call = {
      ...this.#context.followCall(),
      position: question.position,
      staleAllowed: stale.isAllowed,
      staleAccepts: stale.accepts,
    };
    try {
      return await this.#context.transport.sync(call, { deadlineMs: this.#deadlineMs() });
    } catch (thrown) {
      return toSessionAuthorityError(thrown);
    }
  }

  #apply(question: SyncQuestion, reply: SyncReply): void {
    const { cache, clock } = this.#context;
    if (!this.#context.meetDeployment(reply.deploymentId)) return;
    const before = cache.position();
    const { changes, hasMore } = cache.applySync(question, reply, instantOf(clock));
    this.#context.learnBound(reply.maxStalenessMs);
    this.#backoff.reset();
    this.#context.report(changes);
    // Without progress there is nothing to be gained by asking at once.
    const isMoving = hasMore && !isSame(before, cache.position());
    const elapsedMs = clock.monotonicMs() - question.sentAt.monotonicMs;
    this.#schedule(isMoving ? 0 : this.#intervalMs() - elapsedMs);
  }

  #fail(question: SyncQuestion, error: SessionAuthorityError): void {
    this.#context.counters.syncFailures += 1;
    if (question.position.length > 0 && isPositionRefused(error)) {
      this.#context.startOver(error.reason);
      return;
    }
    // In health one is due every third of the bound: trying as often adds no load.
    const pauseMs = Math.min(this.#backoff.nextMs(), this.#intervalMs());
    this.#schedule(Math.max(pauseMs, retryAfterMsOf(error)));
  }

  /** Nothing may end the loop: without it there is no lease. */
  #recover(thrown: unknown): void {
    const { reason } = toSessionAuthorityError(thrown);
    this.#context.logger?.warn("a sync could not be applied", { reason });
    this.#isAsking = false;
    this.#schedule(this.#backoff.nextMs());
  }

  #intervalMs(): number {
    const jitter = 1 + JITTER * (2 * this.#context.randomness.fraction() - 1);
    return (this.#context.boundMs() / 3) * jitter;
  }

  #deadlineMs(): number {
    const boundMs = this.#context.boundMs();
    return Math.min(Math.max(DEADLINE_MIN_MS, boundMs / 4), boundMs / 2);
  }
}

function isSame(
  before: readonly { readonly generation: number; readonly sequence: number }[],
  after: readonly { readonly generation: number; readonly sequence: number }[],
): boolean {
  return (
    before.length === after.length &&
    before.every(({ generation, sequence }, index) => {
      return after[index]?.generation === generation && after[index].sequence === sequence;
    })
  );
}
