import type { Clock } from "../base/clock.js";
import type { Revision } from "../session/revision.js";
import type { WatcherIdentity } from "./watcher-state.js";

/** Instances remembered: as many as there may be watchers. Above it the longest silent is forgotten. */
const INSTANCES_MAX = 10_000;

/** How long a silent instance is remembered, in ms: some twenty Syncs at the largest usual bound. */
const SILENT_MS_MAX = 60_000;

/** What one Sync said of its sender. */
export interface SyncReport {
  readonly identity: WatcherIdentity;
  readonly position: readonly Revision[];
  /** Whether any of its call sites accepts stale answers. */
  readonly staleAllowed: boolean;
  /** How many it has accepted since its last Sync. */
  readonly staleAccepts: number;
}

/** An instance that synced here lately. */
export interface SyncedInstance extends SyncReport {
  readonly lastSyncAgeMs: number;
}

interface Seen extends SyncReport {
  readonly atMs: number;
}

/** Remembers who synced with this replica, for operators. A Sync may go to any replica. */
export class SyncedInstances {
  readonly #clock: Clock;
  // In the order of the last Sync, so the first is the longest silent.
  readonly #seen = new Map<string, Seen>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes a Sync that was answered. */
  note(report: SyncReport): void {
    const key = instanceKey(report.identity);
    const before = this.#seen.get(key);
    this.#seen.delete(key);
    this.#seen.set(key, {
      ...report,
      staleAccepts: report.staleAccepts + (before?.staleAccepts ?? 0),
      atMs: this.#clock.monotonicMs(),
    });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > INSTANCES_MAX && oldest !== undefined) {
      this.#seen.delete(oldest);
    }
  }

  /** Everybody heard of in the last minute, the longest silent first. */
  list(): readonly SyncedInstance[] {
    const nowMs = this.#clock.monotonicMs();
    for (const [key, { atMs }] of this.#seen) {
      if (nowMs - atMs <= SILENT_MS_MAX) break;
      this.#seen.delete(key);
    }
    return [...this.#seen.values()].map(({ atMs, ...report }) => ({
      ...report,
      lastSyncAgeMs: nowMs - atMs,
    }));
  }
}

/** What tells two instances apart. */
export function instanceKey({ clientName, instanceId, sdkVersion }: WatcherIdentity): string {
  return JSON.stringify([clientName, instanceId, sdkVersion]);
}
