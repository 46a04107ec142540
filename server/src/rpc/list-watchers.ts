import type { ListWatchersResponse, Watcher } from "@coatcheck/proto";

import type { Revision } from "../session/revision.js";
import type { RevocationHub } from "../watch/revocation-hub.js";
import {
  instanceKey,
  type SyncedInstance,
  type SyncedInstances,
} from "../watch/synced-instances.js";
import type { WatcherRegistry } from "../watch/watcher-registry.js";
import type { WatcherIdentity } from "../watch/watcher-state.js";
import { millisToDuration, toWireRevision } from "./convert.js";

/** What ListWatchers looks at. */
export interface WatchersEnvironment {
  readonly watchers: WatcherRegistry;
  readonly instances: SyncedInstances;
  readonly hub: RevocationHub;
}

/** Watchers in one answer: what fits into a message with all their positions. */
const WATCHERS_MAX = 10_000;

/**
 * Every open stream of this replica, and every instance that synced with it lately
 * without one: its stream may be at another replica, or cut.
 */
export function listWatchers(environment: WatchersEnvironment): ListWatchersResponse {
  const { watchers, instances, hub } = environment;
  const synced = new Map(instances.list().map((one) => [instanceKey(one.identity), one]));
  const listed: Watcher[] = [];
  const streaming = new Set<string>();
  for (const { identity, position, lagEvents } of watchers.list()) {
    const key = instanceKey(identity);
    streaming.add(key);
    listed.push({
      ...describe(identity, synced.get(key)),
      position: position.map(toWireRevision),
      lagEvents: BigInt(lagEvents),
      streaming: true,
    });
  }
  for (const [key, instance] of synced) {
    if (streaming.has(key)) continue;
    listed.push({
      ...describe(instance.identity, instance),
      position: instance.position.map(toWireRevision),
      lagEvents: BigInt(lagOf(instance.position, hub)),
      streaming: false,
    });
  }
  return { watchers: listed.slice(0, WATCHERS_MAX) };
}

function describe(
  identity: WatcherIdentity,
  instance: SyncedInstance | undefined,
): Omit<Watcher, "position" | "lagEvents" | "streaming"> {
  return {
    clientName: identity.clientName,
    instanceId: identity.instanceId,
    sdkVersion: identity.sdkVersion,
    lastSyncAge:
      instance === undefined ? undefined : millisToDuration(Math.floor(instance.lastSyncAgeMs)),
    staleAllowed: instance?.staleAllowed ?? false,
    staleAccepts: BigInt(instance?.staleAccepts ?? 0),
  };
}

/** As of its last Sync, which took it to the heads of then. */
function lagOf(position: readonly Revision[], hub: RevocationHub): number {
  let events = 0;
  for (const { partition, generation, sequence } of position) {
    const head = hub.tails[partition]?.logHead;
    if (head?.generation === generation) {
      events += Math.max(0, head.sequence - sequence);
    }
  }
  return events;
}
