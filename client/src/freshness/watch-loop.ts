import type { Timer } from "../base/clock.js";
import type { SessionAuthorityError } from "../base/errors.js";
import type { WatchMessage } from "../base/event.js";
import { instantOf } from "../base/instant.js";
import { retryAfterMsOf } from "../base/retry-after.js";
import type { WatchStream } from "../transport/transport.js";
import { Backoff, startOverPauseMs } from "./backoff.js";
import { isPositionRefused, type FollowingContext } from "./surroundings.js";

/** A stream that lived this long was worth opening: its end is a first failure again. */
const STEADY_MS = 2_000;

/** One attempt at a stream. */
interface Attempt {
  readonly hasPosition: boolean;
  stream: WatchStream | undefined;
  openedAtMs: number | undefined;
  isOver: boolean;
}

/**
 * Keeps a stream open, from the position reached, through whatever ends it. The
 * stream is for latency alone; nothing here renews a lease.
 *
 * When a replica says goodbye, the next stream is opened before the old one is
 * let go. Both may bring the same events: applying them twice changes nothing.
 */
export class WatchLoop {
  readonly #context: FollowingContext;
  readonly #backoff: Backoff;
  #current: Attempt | undefined;
  #previous: Attempt | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(context: FollowingContext) {
    this.#context = context;
    this.#backoff = new Backoff(context.randomness);
  }

  /** Whether a stream is open. */
  get isOpen(): boolean {
    return this.#current?.openedAtMs !== undefined || this.#previous?.openedAtMs !== undefined;
  }

  start(): void {
    this.#open();
  }

  /** Ends every stream and opens one without a position, after a pause. */
  restart(): void {
    this.#endAll();
    this.#schedule(startOverPauseMs(this.#context.randomness));
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#endAll();
  }

  #open(): void {
    if (this.#isClosed) return;
    this.#end(this.#previous);
    const call = this.#context.followCall();
    const attempt: Attempt = {
      hasPosition: call.position.length > 0,
      stream: undefined,
      openedAtMs: undefined,
      isOver: false,
    };
    this.#previous = this.#current;
    this.#current = attempt;
    attempt.stream = this.#context.transport.watch(call, {
      onMessage: (message) => {
        if (!attempt.isOver) this.#onMessage(attempt, message);
      },
      onEnd: (error) => {
        this.#onEnd(attempt, error);
      },
    });
    // It may have ended, or have been given up, before it was handed over.
    if (this.#current !== attempt) attempt.stream.cancel();
  }

  #onMessage(attempt: Attempt, message: WatchMessage): void {
    const { cache, clock, randomness } = this.#context;
    if (message.kind === "opened") {
      if (!this.#context.meetDeployment(message.deploymentId)) return;
      attempt.openedAtMs = clock.monotonicMs();
      this.#context.counters.streamsOpened += 1;
      this.#context.learnBound(message.maxStalenessMs);
      if (attempt === this.#current) {
        this.#end(this.#previous);
        this.#previous = undefined;
      }
    }
    if (message.kind === "goaway" && attempt === this.#current) {
      this.#schedule(randomness.fraction() * message.reconnectWithinMs);
    }
    this.#context.report(cache.applyMessage(message, instantOf(clock)));
  }

  #onEnd(attempt: Attempt, error: SessionAuthorityError): void {
    const { clock, counters, logger } = this.#context;
    if (attempt.isOver) return;
    attempt.isOver = true;
    if (attempt === this.#previous) this.#previous = undefined;
    if (attempt !== this.#current) return;
    this.#current = undefined;
    counters.streamsEnded += 1;
    logger?.info("revocation stream ended", { reason: error.reason });
    if (attempt.hasPosition && isPositionRefused(error)) {
      this.#context.startOver(error.reason);
      return;
    }
    const { openedAtMs } = attempt;
    if (openedAtMs !== undefined && clock.monotonicMs() - openedAtMs >= STEADY_MS) {
      this.#backoff.reset();
    }
    // On top of it: all who were refused were told the same.
    this.#schedule(retryAfterMsOf(error) + this.#backoff.nextMs());
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = this.#context.clock.setTimer(delayMs, () => {
      this.#open();
    });
  }

  #endAll(): void {
    this.#end(this.#current);
    this.#end(this.#previous);
    this.#current = undefined;
    this.#previous = undefined;
  }

  #end(attempt: Attempt | undefined): void {
    if (attempt === undefined || attempt.isOver) return;
    attempt.isOver = true;
    attempt.stream?.cancel();
  }
}
