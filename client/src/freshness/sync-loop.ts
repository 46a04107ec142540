import type { Timer } from "../base/clock.js";
import type { SyncReply } from "../base/event.js";
import { toSessionAuthorityError } from "../base/errors.js";
import { instantOf } from "../base/instant.js";
import type { SyncQuestion } from "../cache/log-follower.js";
import { Backoff } from "./backoff.js";
import type { FollowingContext, StaleReport } from "./surroundings.js";

const JITTER = 0.1;
const DEADLINE_MIN_MS = 200;

/** What the loop needs beyond the context. */
export interface SyncLoopHooks {
  /** Stale answers since the last report. */
  takeStaleReport(): StaleReport;
  /** The report did not arrive: it goes with the next Sync. */
  returnStaleReport(report: StaleReport): void;
  /** A Sync was applied. */
  onSynced(): void;
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
    this.#schedule(this.#backoff.nextMs());
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
      if (!this.#isAsking && round === this.#round) void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    const { transport, cache, clock, counters } = this.#context;
    const round = this.#round;
    const question = cache.askSync(instantOf(clock));
    const stale = this.#hooks.takeStaleReport();
    this.#isAsking = true;
    counters.syncs += 1;
    try {
      const reply = await transport.sync(
        {
          ...this.#context.followCall(),
          position: question.position,
          staleAllowed: stale.isAllowed,
          staleAccepts: stale.accepts,
        },
        { deadlineMs: this.#deadlineMs() },
      );
      if (round === this.#round && !this.#isClosed) this.#apply(question, reply);
    } catch (thrown) {
      this.#hooks.returnStaleReport(stale);
      if (round === this.#round && !this.#isClosed) this.#fail(thrown);
    }
  }

  #apply(question: SyncQuestion, reply: SyncReply): void {
    const { cache, clock } = this.#context;
    this.#isAsking = false;
    if (!this.#context.meetDeployment(reply.deploymentId)) return;
    const before = cache.position();
    const { changes, hasMore } = cache.applySync(question, reply, instantOf(clock));
    this.#context.learnBound(reply.maxStalenessMs);
    this.#backoff.reset();
    this.#context.report(changes);
    this.#hooks.onSynced();
    // Without progress there is nothing to be gained by asking at once.
    const isMoving = hasMore && !isSame(before, cache.position());
    const elapsedMs = clock.monotonicMs() - question.sentAt.monotonicMs;
    this.#schedule(isMoving ? 0 : this.#intervalMs() - elapsedMs);
  }

  #fail(thrown: unknown): void {
    const error = toSessionAuthorityError(thrown);
    this.#isAsking = false;
    this.#context.counters.syncFailures += 1;
    if (error.reason === "wrong-deployment" || error.reason === "invalid-field") {
      this.#context.startOver(error.reason);
      return;
    }
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
