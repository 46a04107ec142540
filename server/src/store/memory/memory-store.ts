import { randomInt } from "node:crypto";

import type { Clock, Timer } from "../../base/clock.js";
import { randomBase62 } from "../../base/random.js";
import { PARTITION_COUNT, partitionOf, subjectPartition } from "../../session/partition.js";
import {
  AUDIT_LENGTH,
  AUDIT_RETENTION_MS,
  type AuditTrail,
  DENIED_BATCH_MAX,
} from "../audit-trail.js";
import type { SetIncidentCommand, SetIncidentResult } from "../incident.js";
import type { RevocationLog } from "../revocation-log.js";
import type { CreateCommand, CreateResult, SessionStore } from "../session-store.js";
import type { PartitionSize, StoreCondition } from "../store-measure.js";
import type { Store, StoreOptions } from "../store.js";
import { StoreFullError, StoreUnavailableError } from "../store-error.js";
import { createSession } from "./create-session.js";
import { replaceSession, revokeSession } from "./end-session.js";
import { MemoryPartition } from "./memory-partition.js";
import { listSessions, readSession } from "./read-sessions.js";
import { reapSessions } from "./reap-sessions.js";
import { revokeDevice } from "./revoke-device.js";
import { revokeScope } from "./revoke-scope.js";
import { rotateSession } from "./rotate-session.js";
import { updateSession } from "./update-session.js";
import { touchSession, validateSession } from "./validate-session.js";

/*
 * The store of one process: `npm start` on a fresh machine, and other teams'
 * tests. Nothing survives a restart.
 *
 * It is also the reference. Its rules are the small functions of `session/`, which
 * can be read and tested one by one; the Redis scripts say the same in Lua, and
 * the contract suite in `test/contract/` runs on both. A difference is a bug in
 * one of them, not a variant.
 *
 * Every method runs to its end in one turn of the event loop and answers through
 * a promise all the same, so that nobody comes to rely on an answer that is there
 * at once. A `Store` may always be away; this one is only after `close`.
 */

/** What the memory store is told beyond what both stores are. */
export interface MemoryStoreOptions extends StoreOptions {
  readonly clock: Clock;
  /**
   * Sessions of all partitions, ended ones in retention included; above it `create`
   * rejects with `StoreFullError`. At about 1.5 KB a session the default stays
   * below the heap that Node takes on a machine of 4 GB.
   *
   * @default 1_000_000
   */
  readonly sessionsMax?: number;
  /**
   * Remembered requests of each partition; above it the oldest are forgotten
   * before their ten minutes are over.
   *
   * @default 100_000
   */
  readonly requestsMax?: number;
  /** Time between two rounds of the reaper, in ms, ± 20 %. 0: it never runs. @default 1_000 */
  readonly reapIntervalMs?: number;
}

/** What only a test does to a store. */
export interface MemoryStoreControl {
  /** Sets a partition's stored time; later than the wall clock, it stands still. */
  setNow(partition: number, nowMs: number): void;
  /** Loses the newest events of a partition's log and opens a new generation. */
  openGeneration(partition: number, change: { readonly lostEvents: number }): void;
}

/** A store in memory. */
export interface MemoryStore extends Store {
  readonly control: MemoryStoreControl;
}

/** Sessions that one round of the reaper looks at in each partition. */
const REAP_BATCH = 500;

/** Makes an empty store. `start` sets its reaper going; it answers before that too. */
export function createMemoryStore(options: MemoryStoreOptions): MemoryStore {
  return new ProcessStore(options);
}

class ProcessStore implements MemoryStore {
  readonly kind = "memory";
  readonly sessions: SessionStore;
  readonly log: RevocationLog;
  readonly audit: AuditTrail;
  readonly control: MemoryStoreControl;
  readonly #options: Required<Omit<MemoryStoreOptions, "meter">>;
  readonly #partitions: readonly MemoryPartition[];
  readonly #deploymentId = randomBase62(22);
  readonly #listeners = new Set<(partition: number) => void>();
  readonly #nudged = new Set<number>();
  #state: "idle" | "running" | "closed" = "idle";
  #reapTimer: Timer | undefined;

  constructor(options: MemoryStoreOptions) {
    this.#options = {
      sessionsMax: 1_000_000,
      requestsMax: 100_000,
      reapIntervalMs: 1_000,
      auditLength: AUDIT_LENGTH,
      auditRetentionMs: AUDIT_RETENTION_MS,
      ...options,
    };
    const { clock, logRetention, requestsMax, maxStalenessMs } = this.#options;
    this.#partitions = Array.from(
      { length: PARTITION_COUNT },
      (_, partition) =>
        new MemoryPartition({
          partition,
          clock,
          leaseMaxMs: maxStalenessMs,
          logRetention,
          requestsMax,
          audit: { length: this.#options.auditLength, retentionMs: this.#options.auditRetentionMs },
          onAppend: (changed) => {
            this.#nudge(changed);
          },
        }),
    );
    this.sessions = this.#createSessions();
    this.log = this.#createLog();
    this.audit = this.#createAudit();
    this.control = {
      setNow: (partition, nowMs) => {
        this.#at(partition).setNow(nowMs);
      },
      openGeneration: (partition, { lostEvents }) => {
        this.#at(partition).openGeneration(lostEvents);
      },
    };
  }

  async start(): Promise<void> {
    await this.#answer(() => {
      if (this.#state === "idle") {
        this.#state = "running";
        this.#scheduleReap();
      }
    });
  }

  async setIncident(command: SetIncidentCommand): Promise<SetIncidentResult> {
    const partition = this.#at(command.partition);
    return await this.#answer(() => partition.setIncident(command, partition.now()));
  }

  async deploymentId(): Promise<string> {
    return await this.#answer(() => this.#deploymentId);
  }

  condition(): StoreCondition {
    const isConnected = this.#state !== "closed";
    return { isConnected, openPartitions: isConnected ? PARTITION_COUNT : 0, breaks: 0 };
  }

  async measure(): Promise<readonly PartitionSize[]> {
    return await this.#answer(() => this.#partitions.map((partition) => partition.measure()));
  }

  async close(): Promise<void> {
    this.#state = "closed";
    this.#reapTimer?.cancel();
    this.#listeners.clear();
    await Promise.resolve();
  }

  #createSessions(): SessionStore {
    return {
      create: (command) => this.#answer(() => this.#create(this.#of(command.sessionId), command)),
      validate: (command) =>
        this.#answer(() => validateSession(this.#of(command.sessionId), command)),
      validateBatch: (partition, commands) =>
        this.#answer(() =>
          commands.map((command) => validateSession(this.#at(partition), command)),
        ),
      touch: (partition, uses, tenantIds) =>
        this.#answer(() => uses.map((use) => touchSession(this.#at(partition), use, tenantIds))),
      read: (sessionId) => this.#answer(() => readSession(this.#of(sessionId), sessionId)),
      list: (query) => this.#answer(() => listSessions(this.#ofSubject(query), query)),
      update: (command) => this.#answer(() => updateSession(this.#of(command.sessionId), command)),
      rotate: (command) => this.#answer(() => rotateSession(this.#of(command.sessionId), command)),
      replace: (command) =>
        this.#answer(() => replaceSession(this.#of(command.sessionId), command)),
      revoke: (command) => this.#answer(() => revokeSession(this.#of(command.sessionId), command)),
      revokeScope: (command) =>
        this.#answer(() => revokeScope(this.#at(command.partition), command)),
      revokeDevice: (command) =>
        this.#answer(() => revokeDevice(this.#ofSubject(command), command)),
      reap: (partition, limit) => this.#answer(() => reapSessions(this.#at(partition), limit)),
    };
  }

  #createLog(): RevocationLog {
    return {
      pull: (partition, from, limit) =>
        this.#answer(() => {
          const found = this.#at(partition);
          return { ...found.log.pull(from, limit), incident: found.incident(found.now()) };
        }),
      onNudge: (listener) => {
        // Wrapped, so that the same function subscribed twice is two subscriptions.
        function subscription(partition: number): void {
          listener(partition);
        }
        this.#listeners.add(subscription);
        return () => {
          this.#listeners.delete(subscription);
        };
      },
    };
  }

  #createAudit(): AuditTrail {
    return {
      appendDenied: (partition, calls) =>
        this.#answer(() => {
          const found = this.#at(partition);
          for (const call of calls.slice(0, DENIED_BATCH_MAX)) {
            found.audit.append("denied", call, found.now());
          }
        }),
      read: ({ partition, stream, before, limit }) =>
        this.#answer(() => this.#at(partition).audit.read(stream, before, limit)),
    };
  }

  #create(partition: MemoryPartition, command: CreateCommand): CreateResult {
    const sessions = this.#partitions.reduce((sum, { records }) => sum + records.size, 0);
    if (sessions >= this.#options.sessionsMax) {
      throw new StoreFullError(
        `Cannot create a session: the memory store holds ${sessions}, its limit`,
      );
    }
    return createSession(partition, command);
  }

  #of(sessionId: string): MemoryPartition {
    return this.#at(partitionOf(sessionId));
  }

  #ofSubject({ tenantId, subject }: { tenantId: string; subject: string }): MemoryPartition {
    return this.#at(subjectPartition(tenantId, subject));
  }

  #at(partition: number): MemoryPartition {
    const found = this.#partitions[partition];
    if (found === undefined) {
      throw new RangeError(
        `Cannot use partition ${partition}: it must be below ${PARTITION_COUNT}`,
      );
    }
    return found;
  }

  async #answer<T>(work: () => T): Promise<T> {
    if (this.#state === "closed") {
      throw new StoreUnavailableError("Cannot use the memory store: it is closed", "no");
    }
    return await Promise.resolve(work());
  }

  /** Tells the listeners once the step that appended is over, once for all its events. */
  #nudge(partition: number): void {
    if (this.#listeners.size === 0 || this.#nudged.has(partition)) {
      return;
    }
    this.#nudged.add(partition);
    queueMicrotask(() => {
      this.#nudged.delete(partition);
      for (const listener of this.#listeners) {
        listener(partition);
      }
    });
  }

  #scheduleReap(): void {
    const { clock, reapIntervalMs } = this.#options;
    if (reapIntervalMs === 0) {
      return;
    }
    const jitter = (randomInt(400) - 200) / 1_000;
    this.#reapTimer = clock.setTimer(reapIntervalMs * (1 + jitter), () => {
      for (const partition of this.#partitions) {
        reapSessions(partition, REAP_BATCH);
      }
      this.#scheduleReap();
    });
  }
}
