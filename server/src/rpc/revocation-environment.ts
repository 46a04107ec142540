import type { Clock } from "../base/clock.js";
import type { RevocationHub } from "../watch/revocation-hub.js";
import type { IncidentBoard } from "../watch/incident-board.js";
import type { SyncedInstances } from "../watch/synced-instances.js";
import type { WatcherRegistry } from "../watch/watcher-registry.js";
import type { HeldStreams } from "./held-streams.js";

/** What this service counts. */
export interface RevocationCounters {
  /** Syncs answered. */
  syncs: number;
  /** Stale answers that clients said they accepted. */
  staleAccepts: number;
}

/** What the handlers of the revocation service work with. */
export interface RevocationEnvironment {
  readonly hub: RevocationHub;
  readonly watchers: WatcherRegistry;
  readonly clock: Clock;
  /** The staleness bound L in ms. */
  readonly maxStalenessMs: number;
  /** What may be granted now. */
  readonly incidents: IncidentBoard;
  /** Who synced here lately. */
  readonly instances: SyncedInstances;
  /** Counts the streams of each caller. */
  readonly streams: HeldStreams;
  readonly deploymentId: () => Promise<string>;
  readonly counters: RevocationCounters;
}
