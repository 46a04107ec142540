import { AdminServiceService } from "@coatcheck/proto";
import { Server, ServerCredentials } from "@grpc/grpc-js";

import type { Authority, AuthorityOptions } from "./authority.js";
import { bind } from "./bind.js";
import { type Clock, systemClock } from "./base/clock.js";
import { type Log, silentLog } from "./base/log.js";
import { sleep } from "./base/sleep.js";
import { Turns } from "./base/turns.js";
import { within } from "./base/within.js";
import type { ListenAddress } from "./config.js";
import type { Limits } from "./configuration/limits.js";
import { limitConnections } from "./transport/connection-limit.js";
import { refuseExposure } from "./exposure.js";
import {
  DRAIN_MS_MAX,
  DRAIN_RECONNECT_MS,
  grpcOptions,
  READINESS_INTERVAL_MS,
  READY_WITHIN_MS,
  START_GRACE_MS,
  WATCH_AGE_MAX_MS,
} from "./limits.js";
import { serveMetrics } from "./serve-metrics.js";
import { type LiveSettings, openSettings } from "./configuration/live-settings.js";
import { limitsOf } from "./configuration/settings.js";
import { type AuthorityStats, createAdminService } from "./rpc/admin-service.js";
import { CallLoad } from "./rpc/call-load.js";
import { CallerGate } from "./rpc/caller-gate.js";
import { codecGranting } from "./rpc/event-codec.js";
import { Guards } from "./rpc/guards.js";
import { Health } from "./rpc/health.js";
import { readable } from "./rpc/readable.js";
import { addReflection } from "./rpc/reflection.js";
import { refuseStrangers } from "./rpc/refuse-strangers.js";
import { DeniedCalls } from "./rpc/denied-calls.js";
import type { RevocationCounters } from "./rpc/revocation-environment.js";
import { createRevocationService, RevocationServiceDefinition } from "./rpc/revocation-service.js";
import { createSessionService, sessionServiceDefinition } from "./rpc/session-service.js";
import type { StreamEnvironment } from "./rpc/stream.js";
import { StreamGrants } from "./rpc/stream-grants.js";
import type { UnaryEnvironment } from "./rpc/unary.js";
import type { ValidationOutcome } from "./session/outcome.js";
import { memoryStoreWithin } from "./memory-store-within.js";
import type { Store } from "./store/store.js";
import { Counters } from "./telemetry/counters.js";
import { Measurements } from "./telemetry/measurements.js";
import type { MetricsServer } from "./telemetry/metrics-server.js";
import { CertificateFiles } from "./transport/certificate-files.js";
import { IncidentBoard } from "./watch/incident-board.js";
import { SERVER_VERSION } from "./version.js";
import { RevocationHub } from "./watch/revocation-hub.js";
import { SyncedInstances } from "./watch/synced-instances.js";
import { resolveWatchOptions } from "./watch/watch-options.js";
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

export type { Authority, AuthorityOptions } from "./authority.js";
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
  readonly #settings: LiveSettings;
  readonly #certificates: CertificateFiles | undefined;
  readonly #maxStalenessMs: number;
  readonly #store: Store;
  readonly #incidents: IncidentBoard;
  readonly #instances: SyncedInstances;
  readonly #hub: RevocationHub;
  readonly #watchers: WatcherRegistry;
  readonly #health: Health;
  readonly #server: Server;
  readonly #limits: Limits;
  readonly #guards: Guards;
  readonly #gate = new CallerGate(() => this.#settings.current.callers);
  readonly #denied: DeniedCalls;
  readonly #grants = new StreamGrants();
  readonly #load = new CallLoad();
  readonly #measured = new Measurements();
  readonly #counters = new Counters<ValidationOutcome>();
  readonly #revocationCounters: RevocationCounters = { syncs: 0, staleAccepts: 0 };
  readonly #startedAtMs: number;
  #metrics: MetricsServer | undefined;
  #deploymentId = "";
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: AuthorityOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    this.#settings = openSettings({
      path: options.configurationPath,
      policies: options.policies ?? {},
      onChange: () => {
        this.#grants.recheck();
      },
      log: this.#log,
    });
    this.#limits = limitsOf(this.#settings.current, options.limits);
    this.#guards = new Guards(this.#limits, systemClock);
    this.#certificates = options.tls && new CertificateFiles(options.tls, this.#log);
    this.#maxStalenessMs = options.maxStalenessMs ?? 3000;
    this.#startedAtMs = systemClock.monotonicMs();
    this.#store = (options.createStore ?? memoryStoreWithin(this.#limits))({
      maxStalenessMs: this.#maxStalenessMs,
      logRetention: this.#limits.logEvents,
      auditLength: this.#limits.auditEvents,
      auditRetentionMs: this.#limits.auditRetentionMs,
      clock: this.#clock,
      meter: this.#measured.command,
    });
    this.#denied = new DeniedCalls({
      clock: systemClock,
      log: this.#log,
      gate: this.#gate,
      trail: this.#store.audit,
    });
    this.#server = this.#createServer(options);
    this.#incidents = new IncidentBoard(this.#clock, this.#maxStalenessMs);
    this.#instances = new SyncedInstances(this.#clock);
    const watch = {
      clock: this.#clock,
      codec: codecGranting(() => this.#incidents.maxStalenessMs),
      options: resolveWatchOptions({
        watchAgeMaxMs: WATCH_AGE_MAX_MS,
        watchersMax: this.#limits.watchersMax,
        ringCapacity: this.#limits.watchRingEvents,
        ...options.watch,
        maxStalenessMs: this.#maxStalenessMs,
      }),
    };
    this.#hub = new RevocationHub({ ...watch, log: this.#incidents.observe(this.#store.log) });
    this.#watchers = new WatcherRegistry({ ...watch, hub: this.#hub });
    this.#health = new Health({
      clock: this.#clock,
      pullAgesMs: () => this.#hub.readiness(),
      readyWithinMs: READY_WITHIN_MS,
      intervalMs: READINESS_INTERVAL_MS,
      metadata: this.#guards.metadata,
    });
    this.#addServices(options);
  }

  get isReady(): boolean {
    return this.#health.isReady;
  }

  get hasCallers(): boolean {
    return this.#settings.current.callers !== undefined;
  }

  reload(): void {
    this.#settings.reload();
    this.#certificates?.reload();
  }

  get metricsAddress(): string | undefined {
    return this.#metrics?.address;
  }

  async start(listen: ListenAddress): Promise<void> {
    refuseExposure({
      listen,
      storeKind: this.#store.kind,
      hasTls: this.#certificates !== undefined,
      hasCallers: this.hasCallers,
      dangerousPlaintext: this.#options.dangerousPlaintext === true,
    });
    this.#settings.start();
    this.#guards.start();
    this.#certificates?.start();
    await this.#store.start();
    this.#hub.start();
    await this.#hub.headsAfterNow(START_GRACE_MS);
    this.#health.start();
    try {
      await this.#listen(listen);
      this.#metrics = await this.#serveMetrics();
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
      maxStalenessMs: this.#incidents.maxStalenessMs,
      deploymentId: this.#deploymentId,
      incident: this.#incidents.mode,
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
    this.#settings.stop();
    this.#guards.stop();
    this.#certificates?.stop();
    this.#health.drain();
    this.#watchers.close();
    // The handlers end their streams with a status, which needs a moment to leave.
    await sleep(STATUS_GRACE_MS);
    this.#server.forceShutdown();
    this.#hub.stop();
    await this.#metrics?.close();
    await this.#store.close();
  }

  #createServer({ connections = {}, tls }: AuthorityOptions): Server {
    // TLS refuses strangers where it asks for certificates, and without callers nobody is one.
    const canStrangersConnect = this.hasCallers && tls?.clientCaPath === undefined;
    return new Server({
      ...grpcOptions(connections, this.#limits),
      interceptors: canStrangersConnect ? [refuseStrangers(this.#callEnvironment())] : [],
    });
  }

  #callEnvironment(): UnaryEnvironment & StreamEnvironment {
    return {
      clock: systemClock,
      log: this.#log,
      gate: this.#gate,
      metadata: this.#guards.metadata,
      overload: this.#guards.overload,
      denied: this.#denied,
      grants: this.#grants,
      load: this.#load,
      meter: this.#measured.calls,
    };
  }

  #addServices(options: AuthorityOptions): void {
    const calls = this.#callEnvironment();
    const settings = this.#settings;
    const sessions = {
      store: this.#store.sessions,
      get policies() {
        return settings.current.policies;
      },
      tenantRules: (tenantId: string) => settings.current.tenants.get(tenantId),
      rates: this.#guards.rates,
      incidents: this.#incidents,
      counters: this.#counters,
      onMismatch: this.#denied.noteMismatch.bind(this.#denied),
      turns: new Turns(),
    };
    const revocations = {
      hub: this.#hub,
      watchers: this.#watchers,
      clock: this.#clock,
      maxStalenessMs: this.#maxStalenessMs,
      incidents: this.#incidents,
      instances: this.#instances,
      streams: this.#guards.streams,
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
      createAdminService(
        {
          ...revocations,
          store: this.#store,
          counters: this.#counters,
          stats: () => this.stats(),
        },
        calls,
      ),
    );
    this.#health.addToServer(this.#server);
    if (options.reflection === true) {
      addReflection(this.#server);
    }
  }

  async #serveMetrics(): Promise<MetricsServer | undefined> {
    const parts = {
      log: this.#log,
      version: SERVER_VERSION,
      store: this.#store,
      hub: this.#hub,
      watchers: this.#watchers,
      health: this.#health,
      load: this.#load,
      guards: this.#guards,
      denied: this.#denied,
      measured: this.#measured,
      counters: this.#counters,
      revocationCounters: this.#revocationCounters,
    };
    return await serveMetrics(parts, this.#options, this.#certificates);
  }

  async #listen(address: ListenAddress): Promise<void> {
    const credentials = this.#certificates?.credentials ?? ServerCredentials.createInsecure();
    ({ address: this.address, port: this.port } = await bind(this.#server, address, credentials));
    limitConnections(this.#server, this.#limits.connectionsMax, this.#guards.connections);
  }
}

// An answer to the last call leaves within a round trip.
const ANSWER_GRACE_MS = 250;
const STATUS_GRACE_MS = 10;
