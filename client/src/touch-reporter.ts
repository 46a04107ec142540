import type { Clock, Timer } from "./base/clock.js";
import { toSessionAuthorityError } from "./base/errors.js";
import { ageMs, instantOf, type Instant } from "./base/instant.js";
import { retryAfterMsOf } from "./base/retry-after.js";
import type { ValidationCache } from "./cache/validation-cache.js";
import type { ClientCounters } from "./counters.js";
import type { SessionUse, Transport } from "./transport/transport.js";

const USES_PER_CALL_MAX = 1_000;

/** What the reporter is made of. */
export interface TouchReporterOptions {
  readonly transport: Transport;
  readonly cache: ValidationCache;
  readonly clock: Clock;
  readonly counters: ClientCounters;
  readonly flushMs: number;
  readonly deadlineMs: number;
  /** Uses that may wait; beyond it the oldest is dropped, and its session may idle out early. */
  readonly usesMax: number;
}

/** The last use of a session that was not reported yet. */
interface Use {
  readonly digest: string;
  at: Instant;
}

/**
 * Reports uses that were answered from memory, so that the idle timeout counts
 * them (S-17). One report a session and interval, with how long ago the last
 * use was: a duration, so no clock is shared.
 */
export class TouchReporter {
  readonly #options: TouchReporterOptions;
  #waiting = new Map<string, Use>();
  #timer: Timer | undefined;
  /** The authority asked to be left alone until then. */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: TouchReporterOptions) {
    this.#options = options;
  }

  /** A session was used. Its id is kept: it must not share memory with a token. */
  record(sessionId: string, digest: string, at: Instant): void {
    if (this.#isClosed) return;
    const known = this.#waiting.get(sessionId);
    if (known?.digest === digest) {
      known.at = at;
      return;
    }
    this.#waiting.set(sessionId, { digest, at });
    this.#dropOldest();
    this.#timer ??= this.#options.clock.setTimer(this.#options.flushMs, () => {
      this.flushSoon();
    });
  }

  /**
   * Reports what waits. Uses of a failed report wait for the next one, and so do
   * those behind it: an authority that is away would otherwise hold `close` for
   * one deadline per thousand of them.
   */
  async flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const waiting = [...this.#waiting];
    this.#waiting = new Map();
    for (let start = 0; start < waiting.length; start += USES_PER_CALL_MAX) {
      const uses = waiting.slice(start, start + USES_PER_CALL_MAX);
      if (!(await this.#report(uses))) {
        for (const [sessionId, use] of waiting.slice(start)) this.#keep(sessionId, use);
        return;
      }
    }
  }

  /** Reports what waits without waiting for the next interval, if the authority would listen. */
  flushSoon(): void {
    const { clock } = this.#options;
    const leftMs = this.#notBeforeMs - clock.monotonicMs();
    if (leftMs > 0) {
      this.#timer?.cancel();
      this.#timer = clock.setTimer(leftMs, () => {
        this.flushSoon();
      });
      return;
    }
    this.flush().catch(() => {
      // What could not be reported was kept; nothing else can fail.
    });
  }

  /** Reports what waits, and nothing more after it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
    this.#waiting.clear();
  }

  /** Says whether the report arrived. */
  async #report(uses: readonly (readonly [string, Use])[]): Promise<boolean> {
    const { transport, clock, counters, deadlineMs } = this.#options;
    const now = instantOf(clock);
    const items = uses.map(([sessionId, use]): SessionUse => {
      const age = ageMs(use.at, now);
      // An age that cannot be known is reported as none: early by at most one interval.
      return { sessionId, digest: use.digest, idleForMs: Number.isFinite(age) ? age : 0 };
    });
    try {
      const outcomes = await transport.touch(items, { deadlineMs });
      counters.touchesReported += items.length;
      this.#dropEnded(items, outcomes);
      return true;
    } catch (thrown) {
      this.#notBeforeMs = clock.monotonicMs() + retryAfterMsOf(toSessionAuthorityError(thrown));
      return false;
    }
  }

  /** What the authority did not take as a use is no longer what memory thinks it is. */
  #dropEnded(items: readonly SessionUse[], outcomes: readonly string[]): void {
    for (const [index, { sessionId }] of items.entries()) {
      if (outcomes[index] !== "valid") this.#options.cache.drop(sessionId);
    }
  }

  #keep(sessionId: string, use: Use): void {
    if (this.#isClosed || this.#waiting.has(sessionId)) return;
    this.#waiting.set(sessionId, use);
    this.#dropOldest();
    this.#timer ??= this.#options.clock.setTimer(this.#options.flushMs, () => {
      this.flushSoon();
    });
  }

  #dropOldest(): void {
    if (this.#waiting.size <= this.#options.usesMax) return;
    for (const sessionId of this.#waiting.keys()) {
      this.#waiting.delete(sessionId);
      this.#options.counters.touchesDropped += 1;
      return;
    }
  }
}
