import type {
  AdminServiceServer,
  GetStatsResponse,
  IncidentMode as WireIncidentMode,
} from "@coatcheck/proto";

import type { ValidationOutcome } from "../session/outcome.js";
import type { Revision } from "../session/revision.js";
import type { IncidentMode } from "../store/incident.js";
import type { Store } from "../store/store.js";
import { millisToDuration, toWireOutcome, toWireRevision } from "./convert.js";
import { listAuditEvents } from "./list-audit-events.js";
import { listWatchers, type WatchersEnvironment } from "./list-watchers.js";
import { type RevokeAllEnvironment, revokeAllSessions } from "./revoke-all-sessions.js";
import { type IncidentEnvironment, setIncidentMode } from "./set-incident-mode.js";
import { unary, type UnaryEnvironment } from "./unary.js";

/** Counters of this replica since it started, and gauges of now. */
export interface AuthorityStats {
  readonly serverVersion: string;
  readonly store: "memory" | "redis";
  readonly uptimeMs: number;
  /** Answers by outcome, of ValidateSession and of each item of a batch. */
  readonly outcomes: ReadonlyMap<ValidationOutcome, number>;
  readonly sessionsCreated: number;
  readonly eventsAppended: number;
  /** Streams open now. */
  readonly watchers: number;
  readonly syncs: number;
  /** As this replica last read them; a partition it never read is missing. */
  readonly heads: readonly Revision[];
  readonly maxStalenessMs: number;
  readonly deploymentId: string;
  /** The incident mode, where one is running. */
  readonly incident: IncidentMode | undefined;
}

/** What the handlers of the admin service work with. */
export interface AdminEnvironment extends IncidentEnvironment, WatchersEnvironment {
  readonly store: Store;
  readonly counters: RevokeAllEnvironment["counters"];
  readonly stats: () => AuthorityStats;
}

/** The handlers of `AdminService`. Each is a row: what is done is in the file it names. */
export function createAdminService(
  environment: AdminEnvironment,
  calls: UnaryEnvironment,
): AdminServiceServer {
  const { store, counters } = environment;
  const revoking = { store: store.sessions, counters };
  return {
    getStats: unary(calls, () => Promise.resolve(toWireStats(environment.stats()))),
    listAuditEvents: unary(calls, (request, context) =>
      listAuditEvents(store.audit, request, context),
    ),
    listWatchers: unary(calls, () => Promise.resolve(listWatchers(environment))),
    revokeAllSessions: unary(calls, (request, context) =>
      revokeAllSessions(revoking, request, context),
    ),
    setIncidentMode: unary(calls, (request, context) =>
      setIncidentMode(environment, request, context),
    ),
  };
}

function toWireStats(stats: AuthorityStats): GetStatsResponse {
  return {
    serverVersion: stats.serverVersion,
    store: stats.store,
    uptime: millisToDuration(Math.floor(stats.uptimeMs)),
    outcomes: [...stats.outcomes].map(([outcome, count]) => ({
      outcome: toWireOutcome(outcome),
      count: BigInt(count),
    })),
    sessionsCreated: BigInt(stats.sessionsCreated),
    eventsAppended: BigInt(stats.eventsAppended),
    watchers: stats.watchers,
    syncs: BigInt(stats.syncs),
    heads: stats.heads.map(toWireRevision),
    maxStaleness: millisToDuration(stats.maxStalenessMs),
    deploymentId: stats.deploymentId,
    incident: stats.incident && toWireIncident(stats.incident),
  };
}

function toWireIncident(mode: IncidentMode): WireIncidentMode {
  return {
    maxStaleness: millisToDuration(mode.maxStalenessMs ?? 0),
    stopCaching: mode.stopCaching,
    stopCreating: mode.stopCreating,
    remaining: millisToDuration(Math.ceil(mode.leftMs)),
  };
}
