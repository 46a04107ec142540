import {
  Duration,
  GetStatsRequest,
  ListWatchersRequest,
  RevokeAllSessionsRequest,
  SetIncidentModeRequest,
  ValidationOutcome,
} from "@coatcheck/proto";
import { type Command, InvalidArgumentError } from "commander";

import { splitMillis } from "../../rpc/convert.js";
import { call } from "./connection.js";
import { durationMs, enumName, instantText, revisionText } from "./print.js";
import type { Operator, Runner } from "./program.js";
import { causeFields, withCause } from "./sessions.js";

interface IncidentOptions {
  readonly lasts: number;
  readonly maxStaleness?: number;
  readonly stopCaching?: boolean;
  readonly stopCreating?: boolean;
}

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

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `stats`, `watchers`, `incident set|end|revoke-all`. */
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
  const incident = program
    .command("incident")
    .description("tighten the deployment for a time, or break the glass");
  incident
    .command("set")
    .description("start an incident, or replace the one that is running")
    .requiredOption("--lasts <duration>", "how long: 30m, 2h; at most 168h", parseDuration)
    .option("--max-staleness <duration>", "a smaller staleness bound: 1s", parseDuration)
    .option("--stop-caching", "every validation asks the authority")
    .option("--stop-creating", "no session is created")
    .action(async (options: IncidentOptions) => {
      await run(async (operator) => {
        await setIncident(operator, options);
      });
    });
  incident
    .command("end")
    .description("end the incident now")
    .action(async () => {
      await run(async (operator) => {
        await setIncident(operator, { lasts: 0 });
      });
    });
  addRevokeAll(incident, run);
}

function addRevokeAll(incident: Command, run: Runner): void {
  withCause(
    incident
      .command("revoke-all")
      .description("end every session of every tenant")
      .requiredOption("--confirm <words>", 'must say "revoke all sessions"'),
  ).action(async (options: Parameters<typeof causeFields>[0] & { readonly confirm: string }) => {
    await run(async ({ connection, print }) => {
      const { reason, reasonAdmin, reasonUser, requestId } = causeFields(options);
      const request = RevokeAllSessionsRequest.create({
        confirm: options.confirm,
        reason,
        reasonAdmin,
        reasonUser,
        requestId,
      });
      const revokeAll = connection.admin.revokeAllSessions.bind(connection.admin);
      const reply = await call(connection, revokeAll, request);
      print.one({
        partitions: reply.revisions.length,
        effective_within_ms: durationMs(reply.effectiveWithin),
      });
    });
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
    ...outcomes,
    heads: stats.heads.map(revisionText),
  });
}

async function printWatchers({ connection, print }: Operator): Promise<void> {
  const list = connection.admin.listWatchers.bind(connection.admin);
  const { watchers } = await call(connection, list, ListWatchersRequest.create());
  print.list(
    WATCHER_COLUMNS,
    watchers.map((watcher) => ({
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

async function setIncident(
  { connection, print }: Operator,
  options: IncidentOptions,
): Promise<void> {
  const request = SetIncidentModeRequest.create({
    maxStaleness: options.maxStaleness === undefined ? undefined : toDuration(options.maxStaleness),
    stopCaching: options.stopCaching === true,
    stopCreating: options.stopCreating === true,
    lasts: toDuration(options.lasts),
  });
  const setMode = connection.admin.setIncidentMode.bind(connection.admin);
  const reply = await call(connection, setMode, request);
  print.one({
    running: reply.endsAt !== undefined,
    ends_at: instantText(reply.endsAt),
    effective_within_ms: durationMs(reply.effectiveWithin),
  });
}

function toDuration(millis: number): Duration {
  const { seconds, nanos } = splitMillis(millis);
  return Duration.create({ seconds: BigInt(seconds), nanos });
}

/** Milliseconds of `500ms`, `30s`, `15m`, `2h`. */
function parseDuration(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits === undefined || factor === undefined) {
    throw new InvalidArgumentError("It must be a number with ms, s, m or h.");
  }
  return Number(digits) * factor;
}
