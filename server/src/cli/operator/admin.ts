import {
  GetStatsRequest,
  ListWatchersRequest,
  ValidationOutcome,
  type Watcher,
} from "@coatcheck/proto";
import type { Command } from "commander";

import { call } from "./connection.js";
import type { Operator, Runner } from "./operator.js";
import { durationMs, enumName, revisionText } from "./print.js";

const WATCHER_COLUMNS = [
  "client",
  "instance",
  "sdk_version",
  "streaming",
  "lag_events",
  "last_sync_ms",
  "stale_allowed",
  "stale_accepts",
];

/** `stats`, `watchers`. */
export function addAdminCommands(program: Command, run: Runner): void {
  program
    .command("stats")
    .description("what the replica has done and holds")
    .action(async () => {
      await run(printStats);
    });
  program
    .command("watchers")
    .description("who follows this replica, and how far behind")
    .action(async () => {
      await run(printWatchers);
    });
}

async function printStats({ connection, print }: Operator): Promise<void> {
  const getStats = connection.admin.getStats.bind(connection.admin);
  const stats = await call(connection, getStats, GetStatsRequest.create());
  const outcomes: Record<string, number> = {};
  for (const { outcome, count } of stats.outcomes) {
    outcomes[`outcome_${enumName(ValidationOutcome, outcome)}`] = Number(count);
  }
  print.one({
    server_version: stats.serverVersion,
    deployment_id: stats.deploymentId,
    store: stats.store,
    uptime_ms: durationMs(stats.uptime),
    max_staleness_ms: durationMs(stats.maxStaleness),
    sessions_created: Number(stats.sessionsCreated),
    events_appended: Number(stats.eventsAppended),
    watchers: stats.watchers,
    syncs: Number(stats.syncs),
    incident: stats.incident !== undefined,
    ...outcomes,
    heads: stats.heads.map(revisionText),
  });
}

async function printWatchers({ connection, print }: Operator): Promise<void> {
  const list = connection.admin.listWatchers.bind(connection.admin);
  const { watchers } = await call(connection, list, ListWatchersRequest.create());
  print.list(
    WATCHER_COLUMNS,
    watchers.toSorted(byLag).map((watcher) => ({
      client: watcher.clientName,
      instance: watcher.instanceId,
      sdk_version: watcher.sdkVersion,
      streaming: watcher.streaming,
      lag_events: Number(watcher.lagEvents),
      last_sync_ms: durationMs(watcher.lastSyncAge),
      stale_allowed: watcher.staleAllowed,
      stale_accepts: Number(watcher.staleAccepts),
    })),
  );
}

/** Whoever is in trouble first: the furthest behind, then the longest silent. */
function byLag(a: Watcher, b: Watcher): number {
  const lag = Number(b.lagEvents) - Number(a.lagEvents);
  return lag === 0 ? (durationMs(b.lastSyncAge) ?? 0) - (durationMs(a.lastSyncAge) ?? 0) : lag;
}
