import type { Clock } from "../base/clock.js";
import { EventLoopDelay } from "./event-loop-delay.js";
import { HeldStreams } from "./held-streams.js";
import { Overload, type OverloadLimits } from "./overload.js";
import { type RateLimitSettings, RateLimits } from "./rate-limits.js";

/** The limits that calls are held to. */
export interface GuardLimits extends OverloadLimits, RateLimitSettings {
  /** Streams of one instance of a caller. 0: any number. */
  readonly streamsPerPeerMax: number;
}

/** What keeps callers from taking more than their share, and all of them from taking too much. */
export class Guards {
  readonly overload: Overload;
  readonly rates: RateLimits;
  readonly streams: HeldStreams;
  readonly #delay: EventLoopDelay;

  constructor(limits: GuardLimits, clock: Clock) {
    this.#delay = new EventLoopDelay(clock, () => {
      this.overload.update();
    });
    this.overload = new Overload(limits, () => this.#delay.standingMs);
    this.rates = new RateLimits(limits);
    this.streams = new HeldStreams(limits.streamsPerPeerMax);
  }

  /** Begins to watch the event loop. */
  start(): void {
    this.#delay.start();
  }

  /** Ends it. */
  stop(): void {
    this.#delay.stop();
  }
}
