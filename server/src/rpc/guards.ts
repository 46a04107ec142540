import type { Clock } from "../base/clock.js";
import { EventLoopDelay } from "./event-loop-delay.js";
import { HeldStreams } from "./held-streams.js";
import { MetadataLimit } from "./metadata-limit.js";
import { Overload, type OverloadLimits } from "./overload.js";
import { type RateLimitSettings, RateLimits } from "./rate-limits.js";

/** The limits that calls are held to. */
export interface GuardLimits extends OverloadLimits, RateLimitSettings {
  readonly metadataBytesMax: number;
  /** Streams of one instance of a caller. 0: any number. */
  readonly streamsPerPeerMax: number;
}

/** What keeps callers from taking more than their share, and all of them from taking too much. */
export class Guards {
  readonly overload: Overload;
  readonly rates: RateLimits;
  readonly streams: HeldStreams;
  readonly metadata: MetadataLimit;
  /** Connections that were closed because there were too many. */
  readonly connections = { refused: 0 };
  readonly #delay: EventLoopDelay;

  constructor(limits: GuardLimits, clock: Clock) {
    this.#delay = new EventLoopDelay(clock, () => {
      this.overload.update();
    });
    this.overload = new Overload(limits, () => this.#delay.standingMs);
    this.rates = new RateLimits(limits);
    this.streams = new HeldStreams(limits.streamsPerPeerMax);
    this.metadata = new MetadataLimit(limits.metadataBytesMax);
  }

  /** How often each limit refused something, by its name in the file. */
  get refusals(): ReadonlyMap<string, number> {
    return new Map([
      ...this.rates.refusals,
      ["calls_per_caller_max", this.overload.counters.callerBusy],
      ["streams_per_peer_max", this.streams.refused],
      ["metadata_bytes_max", this.metadata.refused],
      ["connections_max", this.connections.refused],
    ]);
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
