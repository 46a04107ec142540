import {
  Duration,
  GetStatsRequest,
  RevokeAllSessionsRequest,
  SetIncidentModeRequest,
} from "@coatcheck/proto";
import { type Command, InvalidArgumentError } from "commander";

import { splitMillis } from "../../rpc/convert.js";
import { call } from "./connection.js";
import type { Operator, Runner } from "./operator.js";
import { durationMs, instantText } from "./print.js";
import { causeFields, withCause } from "./sessions.js";

interface IncidentOptions {
  readonly lasts: number;
  readonly maxStaleness?: number;
  readonly stopCaching?: boolean;
  readonly stopCreating?: boolean;
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `incident`, `incident set|end|revoke-all`. */
export function addIncidentCommands(program: Command, run: Runner): void {
  const incident = program
    .command("incident")
    .description("whether an incident is running; tighten the deployment, or break the glass")
    .action(async () => {
      await run(printIncident);
    });
  incident
    .command("set")
    .description("start an incident, or replace the one that is running")
    .requiredOption("--lasts <duration>", "how long: 30m, 2h; at most 7d", parseDuration)
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

/** What this replica acts on. Another one may have heard of it a moment earlier or later. */
async function printIncident({ connection, print }: Operator): Promise<void> {
  const getStats = connection.admin.getStats.bind(connection.admin);
  const { incident } = await call(connection, getStats, GetStatsRequest.create());
  print.one({
    running: incident !== undefined,
    max_staleness_ms: durationMs(incident?.maxStaleness),
    stop_caching: incident?.stopCaching,
    stop_creating: incident?.stopCreating,
    remaining_ms: durationMs(incident?.remaining),
  });
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

/** Milliseconds of `500ms`, `30s`, `15m`, `2h`, `1d`. */
function parseDuration(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits === undefined || factor === undefined) {
    throw new InvalidArgumentError("It must be a number with ms, s, m, h or d, such as 30m.");
  }
  return Number(digits) * factor;
}
