import { randomInt } from "node:crypto";

import { type Clock, systemClock, type Timer } from "../../base/clock.js";
import { within } from "../../base/within.js";
import { PARTITION_COUNT } from "../../session/partition.js";
import { AUDIT_LENGTH, AUDIT_RETENTION_MS, type AuditTrail } from "../audit-trail.js";
import type { SetIncidentCommand, SetIncidentResult } from "../incident.js";
import type { RevocationLog } from "../revocation-log.js";
import type { SessionStore } from "../session-store.js";
import type { PartitionSize, StoreCondition } from "../store-measure.js";
import type { Store, StoreOptions } from "../store.js";
import { SessionAnswers } from "./answer-sessions.js";
import { createSession, replaceSession, rotateSession, updateSession } from "./change-sessions.js";
import {
  CONNECT_TIMEOUT_MS,
  createScriptClient,
  createSubscriber,
  parseRedisUrl,
  type RedisCredentials,
} from "./connection.js";
import { reapSessions, revokeDevice, revokeScope, revokeSession } from "./end-sessions.js";
import { createKeySpace } from "./keys.js";
import { measurePartitions } from "./measure-partition.js";
import { listSessions, readSession } from "./read-sessions.js";
import { RedisAudit, setIncident } from "./redis-audit.js";
import { RedisLink } from "./redis-link.js";
import { RedisLog } from "./redis-log.js";
import { preloadScripts, type ScriptClient } from "./scripts.js";

/*
 * The store of production. What a session is lives in `server/lua/`: one script an
 * operation, each one atomic step in one partition, so that any number of replicas
 * can share one Redis and hold nothing themselves. The files here make the
 * arguments, read the replies and know when not to answer.
 *
 * Nothing waits in a queue of ours. While there is no connection every call fails at
 * once, and the connection comes back by itself.
 */

/** What the Redis store is told beyond what both stores are. */
export interface RedisStoreOptions extends StoreOptions {
  /** `redis[s]://…`, `redis[s]+sentinel://…` or `redis[s]+cluster://…`. */
  readonly url: string;
  readonly clock: Clock;
  /** Asked before each attempt to connect. @default the URL's password, whom the system trusts */
  readonly credentials?: (() => RedisCredentials) | undefined;
  /** What every key begins with, so that deployments can share a Redis. @default "cc:" */
  readonly namespace?: string;
  /**
   * How long one call may take, in ms; then its effect is unknown. Higher hides a
   * slow Redis from callers whose own deadline is near, lower turns a pause of Redis
   * into failures.
   *
   * @default 300
   */
  readonly commandTimeoutMs?: number;
  /**
   * Replicas that have to be connected for a validation while Redis refuses writes,
   * as `min-replicas-to-write` demands of writes. @default 0
   */
  readonly minReplicas?: number;
  /** Whether replicas tell each other of news. Off, a timer finds it. @default true */
  readonly pubSub?: boolean;
  /** Time between two rounds of the reaper, in ms, ± 20 %. 0: it never runs. @default 1_000 */
  readonly reapIntervalMs?: number;
}

/** Sessions one script of the reaper looks at: about a millisecond of Redis. */
const REAP_BATCH = 100;

/** Scripts of one round in one partition, at most: what is left waits for the next. */
const REAP_BATCHES_MAX = 10;

/** Makes the store. `start` connects it. */
export function createRedisStore(options: RedisStoreOptions): Store {
  return new RedisStore(options);
}

class RedisStore implements Store {
  readonly kind = "redis";
  readonly sessions: SessionStore;
  readonly log: RevocationLog;
  readonly audit: AuditTrail;
  readonly #options: RedisStoreOptions;
  readonly #client: ScriptClient;
  readonly #subscriber: ScriptClient | undefined;
  readonly #link: RedisLink;
  readonly #log: RedisLog;
  readonly #channel: string;
  #reapTimer: Timer | undefined;
  #closed = false;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    const { commandTimeoutMs = 300, pubSub = true, logRetention, credentials } = options;
    const target = parseRedisUrl(options.url);
    const keys = createKeySpace(options.namespace ?? "cc:");
    this.#channel = keys.nudgeChannel;
    this.#client = createScriptClient(target, { commandTimeoutMs, credentials });
    this.#link = new RedisLink({
      client: this.#client,
      keys,
      logRetention,
      pubSub,
      meter:
        options.meter === undefined ? undefined : { clock: systemClock, command: options.meter },
      auditLength: options.auditLength ?? AUDIT_LENGTH,
    });
    this.audit = new RedisAudit(this.#link, options.auditLength);
    this.#log = new RedisLog(this.#link, options.maxStalenessMs);
    this.#link.openWith(async (partition) => {
      await this.#log.open(partition);
    });
    this.log = this.#log;
    this.#subscriber = pubSub
      ? createSubscriber(target, { commandTimeoutMs, credentials })
      : undefined;
    // Without a listener the library prints; what matters shows in the calls that fail.
    this.#client.on("error", ignore);
    this.#client.on("ready", () => {
      preloadScripts(this.#client).catch(ignore);
    });
    this.#subscriber?.on("error", ignore);
    this.sessions = this.#createSessions(options.minReplicas ?? 0);
  }

  async start(): Promise<void> {
    this.#subscribe();
    // Of Sentinels that are away, the driver asks on and on before it says so.
    const deadlineMs = systemClock.monotonicMs() + CONNECT_TIMEOUT_MS;
    await within(deadlineMs, this.#client.connect().catch(ignore));
    this.#scheduleReap();
  }

  async setIncident(command: SetIncidentCommand): Promise<SetIncidentResult> {
    return await setIncident(this.#link, command);
  }

  async deploymentId(): Promise<string> {
    return await this.#log.deploymentId();
  }

  condition(): StoreCondition {
    return this.#link.condition();
  }

  async measure(): Promise<readonly PartitionSize[]> {
    return await measurePartitions(this.#link);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#reapTimer?.cancel();
    await Promise.all([disconnect(this.#client), disconnect(this.#subscriber)]);
  }

  #createSessions(minReplicas: number): SessionStore {
    const link = this.#link;
    const { auditRetentionMs = AUDIT_RETENTION_MS } = this.#options;
    const answers = new SessionAnswers(link, { minReplicas });
    return {
      create: (command) => createSession(link, command),
      validate: (command) => answers.validate(command),
      validateBatch: (partition, commands) => answers.validateBatch(partition, commands),
      touch: (partition, uses, tenantIds) => answers.touch(partition, uses, tenantIds),
      read: (sessionId) => readSession(link, sessionId),
      list: (query) => listSessions(link, query),
      update: (command) => updateSession(link, command),
      rotate: (command) => rotateSession(link, command),
      replace: (command) => replaceSession(link, command),
      revoke: (command) => revokeSession(link, command),
      revokeScope: (command) => revokeScope(link, command),
      revokeDevice: (command) => revokeDevice(link, command),
      reap: (partition, limit) => reapSessions(link, partition, { limit, auditRetentionMs }),
    };
  }

  /** On a connection of its own; whatever happens to it costs a nudge, never an event. */
  #subscribe(): void {
    const subscriber = this.#subscriber;
    if (subscriber === undefined) {
      return;
    }
    subscriber.on("ready", () => {
      subscriber.subscribe(this.#channel).catch(ignore);
    });
    subscriber.on("message", (_channel: string, partition: string) => {
      this.#log.nudge(Number(partition));
    });
    subscriber.connect().catch(ignore);
  }

  #scheduleReap(): void {
    const { clock, reapIntervalMs = 1_000 } = this.#options;
    if (reapIntervalMs === 0 || this.#closed) {
      return;
    }
    const jitter = (randomInt(400) - 200) / 1_000;
    this.#reapTimer = clock.setTimer(reapIntervalMs * (1 + jitter), () => {
      this.#reapAll()
        .catch(ignore)
        .finally(() => {
          this.#scheduleReap();
        })
        .catch(ignore);
    });
  }

  async #reapAll(): Promise<void> {
    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      let looked = REAP_BATCH;
      for (let round = 0; round < REAP_BATCHES_MAX && looked === REAP_BATCH; round += 1) {
        looked = await this.sessions.reap(partition, REAP_BATCH);
      }
    }
  }
}

/**
 * Ends a connection. One that is not up has no calls in flight, and may never say
 * that it ended; one that is up may have a dead peer, which never says so either.
 */
async function disconnect(client: ScriptClient | undefined): Promise<void> {
  if (client?.status !== "ready" || !("stream" in client)) {
    client?.disconnect();
    return;
  }
  await new Promise<void>((resolve) => {
    client.once("end", resolve);
    client.disconnect();
    client.stream.destroy();
  });
}

function ignore(): void {
  // A failure that shows elsewhere, or that nothing depends on.
}
