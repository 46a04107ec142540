import { instantOf } from "../base/instant.js";
import { PARTITION_COUNT } from "../base/revision.js";
import { SessionAuthorityError } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { Randomness } from "../base/random.js";
import type { Changes } from "../cache/log-follower.js";
import type { ValidationCache } from "../cache/validation-cache.js";
import type { FollowCall, Transport } from "../transport/transport.js";
import { cacheFreshness, type Freshness } from "./freshness.js";
import type { FollowingContext, FreshnessCounters, Logger, StaleReport } from "./surroundings.js";
import { SyncLoop } from "./sync-loop.js";
import { WatchLoop } from "./watch-loop.js";

/** Who follows, as operators see it. */
export interface WatchIdentity {
  readonly tenantId: string;
  readonly clientName: string;
  readonly instanceId: string;
  readonly sdkVersion: string;
}

/** What the watch is made of. */
export interface RevocationWatchOptions {
  readonly transport: Transport;
  readonly cache: ValidationCache;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly logger: Logger | undefined;
  readonly identity: WatchIdentity;
  /** The staleness bound until the authority has told its own, in ms; and never more than this. */
  readonly maxStalenessMs: number;
  /** The bound to assume before the authority has told one, in ms. */
  readonly initialStalenessMs: number;
  readonly onChanges: (changes: Changes) => void;
}

/** Whoever waits for `ready` looks again at least this often, which keeps the process alive. */
const LOOK_AGAIN_MS = 1_000;

/**
 * Keeps the cache up to date: Sync for safety, the stream for latency. It starts
 * when it is first needed and goes on until it is closed.
 */
export class RevocationWatch {
  readonly counters: FreshnessCounters = {
    syncs: 0,
    syncFailures: 0,
    streamsOpened: 0,
    streamsEnded: 0,
    resets: {},
  };
  readonly #options: RevocationWatchOptions;
  readonly #sync: SyncLoop;
  readonly #watch: WatchLoop;
  readonly #waiting = new Set<() => void>();
  #deploymentId = "";
  #boundMs: number;
  #isStarted = false;
  #isClosed = false;
  #isStaleAllowed = false;
  #staleAccepts = 0;
  #isCachingStopped = false;
  #lastState: Freshness = "cold";

  constructor(options: RevocationWatchOptions) {
    this.#options = options;
    this.#boundMs = Math.min(options.initialStalenessMs, options.maxStalenessMs);
    const context = this.#context();
    this.#watch = new WatchLoop(context);
    this.#sync = new SyncLoop(context, {
      takeStaleReport: () => this.#takeStaleReport(),
      returnStaleReport: ({ accepts }) => {
        this.#staleAccepts += accepts;
      },
      onSettled: () => {
        this.#noteState();
      },
    });
  }

  /** The staleness bound as it is known now, in ms. */
  get boundMs(): number {
    return this.#boundMs;
  }

  /** Whether a stream is open. */
  get isStreaming(): boolean {
    return this.#watch.isOpen;
  }

  get deploymentId(): string {
    return this.#deploymentId;
  }

  state(): Freshness {
    return cacheFreshness(this.#options.cache, instantOf(this.#options.clock));
  }

  /** Does nothing once started. */
  start(): void {
    if (this.#isStarted || this.#isClosed) return;
    this.#isStarted = true;
    this.#sync.start();
    this.#watch.start();
  }

  /** Ends the stream and every timer. Whoever waits for `ready` is refused. */
  close(): void {
    this.#isClosed = true;
    this.#sync.close();
    this.#watch.close();
    this.#wakeAll();
  }

  /** Resolves once the cache is fresh, or as fresh as the authority lets it be. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    this.start();
    while (!this.#isReady()) {
      if (this.#isClosed) throw refused("closed", "the client has been closed");
      if (signal?.aborted === true) throw refused("cancelled", "the caller's signal aborted");
      await this.#nextChange(signal);
    }
  }

  /** A call site accepts stale answers; told to the authority with the next Sync. */
  noteStaleAllowed(): void {
    this.#isStaleAllowed = true;
  }

  /** A stale answer was accepted. */
  noteStaleAccept(): void {
    this.#staleAccepts += 1;
  }

  async #nextChange(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const { clock } = this.#options;
      const wake = (): void => {
        timer.cancel();
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = clock.setTimer(LOOK_AGAIN_MS, wake, "keeps-alive");
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }

  #wakeAll(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #takeStaleReport(): StaleReport {
    const report = { isAllowed: this.#isStaleAllowed, accepts: this.#staleAccepts };
    this.#staleAccepts = 0;
    return report;
  }

  #noteState(): void {
    const state = this.state();
    if (state !== this.#lastState) {
      this.#options.logger?.info("revocation cache changed state", {
        from: this.#lastState,
        state,
      });
      this.#lastState = state;
    }
    if (this.#isReady()) this.#wakeAll();
  }

  /** Where the authority stops caching for a time, a service must be able to start all the same. */
  #isReady(): boolean {
    return this.#isCachingStopped || this.state() === "fresh";
  }

  #context(): FollowingContext {
    const { transport, cache, clock, randomness, logger } = this.#options;
    return {
      transport,
      cache,
      clock,
      randomness,
      logger,
      counters: this.counters,
      followCall: () => this.#followCall(),
      boundMs: () => this.#boundMs,
      learnBound: (maxStalenessMs) => {
        this.#isCachingStopped = maxStalenessMs <= 0;
        if (this.#isCachingStopped) return;
        this.#boundMs = Math.min(maxStalenessMs, this.#options.maxStalenessMs);
      },
      meetDeployment: (deploymentId) => this.#meetDeployment(deploymentId),
      startOver: (cause) => {
        this.#startOver(cause);
      },
      report: (changes) => {
        this.#report(changes);
      },
    };
  }

  #followCall(): FollowCall {
    const { tenantId, clientName, instanceId, sdkVersion } = this.#options.identity;
    const position = this.#options.cache.position();
    return {
      position,
      tenantIds: [tenantId],
      deploymentId: position.length === 0 ? "" : this.#deploymentId,
      clientName,
      instanceId,
      sdkVersion,
    };
  }

  #meetDeployment(deploymentId: string): boolean {
    if (this.#deploymentId === "" || this.#deploymentId === deploymentId) {
      this.#deploymentId = deploymentId;
      return true;
    }
    this.#startOver("another deployment answered");
    return false;
  }

  /** Positions of another deployment compare with nothing: everything is cold again. */
  #startOver(cause: string): void {
    this.#options.logger?.warn("revocation positions dropped, starting over", { cause });
    this.#deploymentId = "";
    this.#options.cache.forgetEverything();
    this.#sync.restart();
    this.#watch.restart();
    const partitions = Array.from({ length: PARTITION_COUNT }, (_, partition) => partition);
    this.#report({
      events: [],
      resets: partitions.map((partition) => ({ partition, cause: "gap" })),
    });
    this.#noteState();
  }

  #report(changes: Changes): void {
    const { resets } = this.counters;
    for (const { cause } of changes.resets) resets[cause] = (resets[cause] ?? 0) + 1;
    if (changes.events.length > 0 || changes.resets.length > 0) this.#options.onChanges(changes);
  }
}

function refused(reason: "closed" | "cancelled", why: string): SessionAuthorityError {
  return new SessionAuthorityError({
    reason,
    applied: "no",
    message: `Cannot wait for a fresh cache: ${why}`,
  });
}
