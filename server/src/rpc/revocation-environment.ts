import type { Clock } from "../base/clock.js";
import type { RevocationHub } from "../watch/revocation-hub.js";
import type { WatcherRegistry } from "../watch/watcher-registry.js";

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
  readonly deploymentId: () => Promise<string>;
  readonly counters: RevocationCounters;
}
