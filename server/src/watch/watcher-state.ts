import type { Revision } from "../session/revision.js";
import type { TenantFilter } from "./tenant-filter.js";

/**
 * How far a watcher is.
 *
 * - `catching-up`: a partition is behind the ring and is read from the log.
 * - `live`: it has been handed everything it may see, or is about to be.
 * - `lagging`: the transport has not taken the last message since `sinceMs`.
 *   After L of that it is cut.
 * - `closed`: it has ended, and why.
 */
export type WatcherState =
  | { readonly state: "catching-up" }
  | { readonly state: "live" }
  | { readonly state: "lagging"; readonly sinceMs: number }
  | { readonly state: "closed"; readonly cause: CloseCause };

/**
 * Why a watcher ended.
 *
 * - `ended`: the client hung up or the connection broke.
 * - `drained`: the replica shuts down, or the stream reached its age.
 * - `too-slow`: the client did not read for L.
 * - `behind`: the client has been ahead of this replica for L.
 */
export type CloseCause = "ended" | "drained" | "too-slow" | "behind";

/** Who watches, for operators. */
export interface WatcherIdentity {
  readonly clientName: string;
  readonly instanceId: string;
  readonly sdkVersion: string;
}

/** What a watcher asked for. The position has been validated. */
export interface WatchStart {
  readonly identity: WatcherIdentity;
  readonly filter: TenantFilter;
  readonly position: ReadonlyMap<number, Revision>;
  readonly deploymentId: string;
}
