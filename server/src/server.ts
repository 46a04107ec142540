import { readFileSync } from "node:fs";

import { AdminServiceService } from "@coatcheck/proto";
import { Server, ServerCredentials } from "@grpc/grpc-js";

import { type Clock, systemClock } from "./base/clock.js";
import { type Log, silentLog } from "./base/log.js";
import { sleep } from "./base/sleep.js";
import { Turns } from "./base/turns.js";
import { isLoopback, type ListenAddress } from "./config.js";
import {
  type ConnectionLimits,
  DRAIN_MS_MAX,
  DRAIN_RECONNECT_MS,
  grpcOptions,
  LOG_RETENTION,
  METADATA_BYTES_MAX,
  READINESS_INTERVAL_MS,
  READY_WITHIN_MS,
  START_GRACE_MS,
  WATCH_AGE_MAX_MS,
} from "./limits.js";
import { type PolicyOverrides, resolvePolicies } from "./policies.js";
import { type AuthorityStats, createAdminService } from "./rpc/admin-service.js";
import { CallLoad } from "./rpc/call-load.js";
import { eventCodec } from "./rpc/event-codec.js";
import { Health } from "./rpc/health.js";
import { readable } from "./rpc/readable.js";
import { addReflection } from "./rpc/reflection.js";
import type { RevocationCounters } from "./rpc/revocation-environment.js";
import { createRevocationService, RevocationServiceDefinition } from "./rpc/revocation-service.js";
import { createSessionService, sessionServiceDefinition } from "./rpc/session-service.js";
import type { UnaryEnvironment } from "./rpc/unary.js";
import type { ValidationOutcome } from "./session/outcome.js";
import { createMemoryStore } from "./store/memory/memory-store.js";
import type { Store, StoreOptions } from "./store/store.js";
import { Counters } from "./telemetry/counters.js";
import { RevocationHub } from "./watch/revocation-hub.js";
import { resolveWatchOptions, type WatchOptions } from "./watch/watch-options.js";
import { WatcherRegistry } from "./watch/watcher-registry.js";

/*
 * The composition root: what is built, in which order it starts, and in which
 * order it stops.
 *
 * Start: the store begins to connect, the hub begins to pull, and the server
 * listens whether or not anything answered: a replica without its Redis is alive,
 * not ready, and says UNAVAILABLE (S-47).
 *
 * Drain: first readiness, so that no new traffic is sent here; then watchers are
 * asked to reconnect, spread over a window, and ended by their own handlers with
 * UNAVAILABLE, because a stream that the transport ends says CANCELLED, which
 * clients do not retry; then unary calls finish; only then is anything forced.
 */

/** How an authority is built. Everything has a default that is safe on one machine. */
export interface AuthorityOptions {
  /** @default 127.0.0.1 and any free port */
  readonly listen?: ListenAddress;
  /** Where sessions are kept. @default a new memory store */
  readonly createStore?: (options: StoreOptions & { readonly clock: Clock }) => Store;
  /** Named policies; what one leaves out is DESIGN §9's default. "default" may be changed. */
  readonly policies?: PolicyOverrides;
  /** The staleness bound L, in ms. @default 3000 */
  readonly maxStalenessMs?: number;
  /** Whether schemas are served. @default false */
  readonly reflection?: boolean;
  /** Whether another address than loopback may be served without TLS. @default false */
  readonly dangerousPlaintext?: boolean;
  /** The clock of the store and the watch; deadlines of calls are the system's. */
  readonly clock?: Clock;
  readonly log?: Log;
  /** Limits of the watch, for tests that need small ones. */
  readonly watch?: Partial<WatchOptions>;
  /** When connections end, for tests that cannot wait for it. */
  readonly connections?: ConnectionLimits;
  /** The window over which watchers reconnect when the replica drains, in ms. @default 5000 */
  readonly drainReconnectMs?: number;
}

/** A running authority. */
export interface Authority {
  /** `host:port` as a gRPC target. */
  readonly address: string;
  readonly port: number;
  /** Identifies the data of the store. Rejects while the store has never been reached. */
  deploymentId(): Promise<string>;
  /** Whether the store answers, which is what the health service says. */
  readonly isReady: boolean;
  stats(): AuthorityStats;
  /** Stops gracefully, in at most 25 s. Calling it twice waits for the first. */
  drain(): Promise<void>;
  /** Stops at once: streams are ended, calls in flight fail. */
  close(): Promise<void>;
}

/** The version of this server. */
export const SERVER_VERSION = readVersion();

/** Builds an authority and has it listen. Rejects where the address cannot be had. */
export async function createAuthority(options: AuthorityOptions = {}): Promise<Authority> {
  const authority = new RunningAuthority(options);
  await authority.start(options.listen ?? { host: "127.0.0.1", port: 0 });
  return authority;
}

class RunningAuthority implements Authority {
  port = 0;
  address = "";
  readonly #options: AuthorityOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #maxStalenessMs: number;
  readonly #store: Store;
  readonly #hub: RevocationHub;
  readonly #watchers: WatcherRegistry;
  readonly #health: Health;
  readonly #server: Server;
  readonly #load = new CallLoad();
  readonly #counters = new Counters<ValidationOutcome>();
  readonly #revocationCounters: RevocationCounters = { syncs: 0, staleAccepts: 0 };
  readonly #startedAtMs: number;
  #deploymentId = "";
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: AuthorityOptions) {
    this.#options = options;
    this.#server = new Server(grpcOptions(options.connections ?? {}));
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    this.#maxStalenessMs = options.maxStalenessMs ?? 3000;
    this.#startedAtMs = systemClock.monotonicMs();
    this.#store = (options.createStore ?? createMemoryStore)({
      maxStalenessMs: this.#maxStalenessMs,
      logRetention: LOG_RETENTION,
      clock: this.#clock,
    });
    const watch = {
      clock: this.#clock,
      codec: eventCodec,
      options: resolveWatchOptions({
        watchAgeMaxMs: WATCH_AGE_MAX_MS,
        ...options.watch,
        maxStalenessMs: this.#maxStalenessMs,
      }),
    };
    this.#hub = new RevocationHub({ ...watch, log: this.#store.log });
    this.#watchers = new WatcherRegistry({ ...watch, hub: this.#hub });
    this.#health = new Health({
      clock: this.#clock,
      pullAgesMs: () => this.#hub.readiness(),
      readyWithinMs: READY_WITHIN_MS,
      intervalMs: READINESS_INTERVAL_MS,
    });
    this.#addServices(options);
  }

  get isReady(): boolean {
    return this.#health.isReady;
  }

  async start(listen: ListenAddress): Promise<void> {
    this.#refuseExposure(listen);
    await this.#store.start();
    this.#hub.start();
    await this.#hub.headsAfterNow(START_GRACE_MS);
    this.#health.start();
    try {
      await this.#listen(listen);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#log.info({ address: this.address, store: this.#store.kind }, "listening");
  }

  async deploymentId(): Promise<string> {
    // Asked each time: the data may have been exchanged for other data (FAULTS row 23).
    this.#deploymentId = await this.#store.deploymentId();
    return this.#deploymentId;
  }

  stats(): AuthorityStats {
    return {
      serverVersion: SERVER_VERSION,
      store: this.#store.kind,
      uptimeMs: systemClock.monotonicMs() - this.#startedAtMs,
      outcomes: this.#counters.outcomes,
      sessionsCreated: this.#counters.sessionsCreated,
      eventsAppended: this.#counters.eventsAppended,
      watchers: this.#watchers.size,
      syncs: this.#revocationCounters.syncs,
      heads: this.#hub.heads(),
      maxStalenessMs: this.#maxStalenessMs,
      deploymentId: this.#deploymentId,
    };
  }

  async drain(): Promise<void> {
    this.#drained ??= this.#drain();
    await this.#drained;
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #drain(): Promise<void> {
    const deadline = systemClock.monotonicMs() + DRAIN_MS_MAX;
    this.#log.info({ watchers: this.#watchers.size, calls: this.#load.inFlight }, "draining");
    this.#health.drain();
    const reconnectMs = this.#options.drainReconnectMs ?? DRAIN_RECONNECT_MS;
    await within(deadline, this.#watchers.drain(reconnectMs));
    const stopped = new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => {
        resolve();
      });
    });
    // Streams of health checks and reflection have no end of their own.
    await within(deadline, Promise.race([stopped, this.#answered()]));
    await this.close();
    this.#log.info({}, "drained");
  }

  /** When the last unary call has been answered, and the answer had time to leave. */
  async #answered(): Promise<void> {
    await this.#load.idle();
    await sleep(ANSWER_GRACE_MS);
  }

  async #close(): Promise<void> {
    this.#health.drain();
    this.#watchers.close();
    // The handlers end their streams with a status, which needs a moment to leave.
    await sleep(STATUS_GRACE_MS);
    this.#server.forceShutdown();
    this.#hub.stop();
    await this.#store.close();
  }

  #addServices(options: AuthorityOptions): void {
    const calls: UnaryEnvironment = {
      clock: systemClock,
      log: this.#log,
      metadataBytesMax: METADATA_BYTES_MAX,
      load: this.#load,
    };
    const sessions = {
      store: this.#store.sessions,
      policies: resolvePolicies(options.policies ?? {}),
      maxStalenessMs: this.#maxStalenessMs,
      counters: this.#counters,
      turns: new Turns(),
    };
    const revocations = {
      hub: this.#hub,
      watchers: this.#watchers,
      clock: this.#clock,
      maxStalenessMs: this.#maxStalenessMs,
      deploymentId: () => this.deploymentId(),
      counters: this.#revocationCounters,
    };
    this.#server.addService(
      readable(sessionServiceDefinition),
      createSessionService(sessions, calls),
    );
    this.#server.addService(
      readable(RevocationServiceDefinition),
      createRevocationService(revocations, calls),
    );
    this.#server.addService(
      readable(AdminServiceService),
      createAdminService(() => this.stats(), calls),
    );
    this.#health.addToServer(this.#server);
    if (options.reflection === true) {
      addReflection(this.#server);
    }
  }

  #refuseExposure({ host }: ListenAddress): void {
    if (isLoopback(host)) {
      return;
    }
    if (this.#store.kind === "memory") {
      throw new RangeError(`Cannot listen on ${host}: the memory store serves loopback only`);
    }
    if (this.#options.dangerousPlaintext !== true) {
      throw new RangeError(`Cannot listen on ${host}: without TLS only loopback is served`);
    }
  }

  async #listen({ host, port }: ListenAddress): Promise<void> {
    const name = host.includes(":") ? `[${host}]` : host;
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(
        `${name}:${port}`,
        ServerCredentials.createInsecure(),
        (error, bound) => {
          if (error === null) resolve(bound);
          else reject(new Error(`Cannot listen on ${name}:${port}: the address cannot be had`));
        },
      );
    });
    this.address = `${name}:${this.port}`;
  }
}

// An answer to the last call leaves within a round trip.
const ANSWER_GRACE_MS = 250;
const STATUS_GRACE_MS = 10;

/** Resolves when `work` does, or at the deadline. */
async function within(deadlineMs: number, work: Promise<void>): Promise<void> {
  const leftMs = Math.max(0, deadlineMs - systemClock.monotonicMs());
  await new Promise<void>((resolve, reject) => {
    const timer = systemClock.setTimer(leftMs, resolve);
    work
      .finally(() => {
        timer.cancel();
      })
      .then(resolve, reject);
  });
}

function readVersion(): string {
  const file: unknown = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  );
  const version: unknown =
    typeof file === "object" && file !== null && "version" in file ? file.version : "";
  return typeof version === "string" ? version : "";
}
