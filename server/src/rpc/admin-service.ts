import {
  type AdminServiceServer,
  type GetStatsResponse,
  type ListAuditEventsResponse,
  type ListWatchersResponse,
  type RevokeAllSessionsResponse,
  type SetIncidentModeResponse,
} from "@coatcheck/proto";

import type { ValidationOutcome } from "../session/outcome.js";
import type { Revision } from "../session/revision.js";
import { millisToDuration, toWireOutcome, toWireRevision } from "./convert.js";
import { notImplemented } from "./session-service.js";
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
}

/** The handlers of `AdminService`. */
export function createAdminService(
  readStats: () => AuthorityStats,
  calls: UnaryEnvironment,
): AdminServiceServer {
  return {
    getStats: unary(calls, () => Promise.resolve(toWireStats(readStats()))),
    listAuditEvents: unary(calls, notImplemented<ListAuditEventsResponse>),
    listWatchers: unary(calls, notImplemented<ListWatchersResponse>),
    revokeAllSessions: unary(calls, notImplemented<RevokeAllSessionsResponse>),
    setIncidentMode: unary(calls, notImplemented<SetIncidentModeResponse>),
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
  };
}
