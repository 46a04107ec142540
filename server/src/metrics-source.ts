import type { CallLoad } from "./rpc/call-load.js";
import type { DeniedCalls } from "./rpc/denied-calls.js";
import type { Guards } from "./rpc/guards.js";
import type { Health } from "./rpc/health.js";
import type { RevocationCounters } from "./rpc/revocation-environment.js";
import type { ValidationOutcome } from "./session/outcome.js";
import type { Store } from "./store/store.js";
import type { Counters } from "./telemetry/counters.js";
import type { Measurements } from "./telemetry/measurements.js";
import type {
  Counts,
  MetricsSnapshot,
  MetricsSource,
  PartitionFeed,
} from "./telemetry/metrics-source.js";
import type { RevocationHub } from "./watch/revocation-hub.js";
import type { WatcherRegistry } from "./watch/watcher-registry.js";

/** The parts of an authority that its metrics are read from. */
export interface MeasuredParts {
  readonly version: string;
  readonly store: Store;
  readonly hub: RevocationHub;
  readonly watchers: WatcherRegistry;
  readonly health: Health;
  readonly load: CallLoad;
  readonly guards: Guards;
  readonly denied: DeniedCalls;
  readonly measured: Measurements;
  readonly counters: Counters<ValidationOutcome>;
  readonly revocationCounters: RevocationCounters;
}

/** Reads the metrics of an authority where it keeps them. */
export function createMetricsSource(parts: MeasuredParts): MetricsSource {
  let eventLoop = performance.eventLoopUtilization();
  return {
    calls: parts.measured.calls.durations,
    scripts: parts.measured.scripts,
    read: async () => {
      // A store that is away has no sizes. Everything else is told all the same: it is then that
      // somebody looks.
      const sizes = await parts.store.measure().catch(() => []);
      const before = eventLoop;
      eventLoop = performance.eventLoopUtilization();
      return {
        ...readCounters(parts),
        ...readWatch(parts),
        ...readProcess(),
        eventLoopUtilization: performance.eventLoopUtilization(eventLoop, before).utilization,
        sizes,
      };
    },
  };
}

type WatchKey =
  | "feeds"
  | "pulls"
  | "tailRestarts"
  | "watchers"
  | "watcherLagEvents"
  | "watchersOpened"
  | "watchersClosed"
  | "resets";
type ProcessKey = "memory" | "cpuSeconds";

function readCounters(
  parts: MeasuredParts,
): Omit<MetricsSnapshot, WatchKey | ProcessKey | "sizes" | "eventLoopUtilization"> {
  const { counters, revocationCounters, measured, store } = parts;
  const condition = store.condition();
  return {
    version: parts.version,
    store: store.kind,
    isReady: parts.health.isReady,
    callsInFlight: parts.load.inFlight,
    outcomes: counters.outcomes,
    sessionsCreated: counters.sessionsCreated,
    sessionsEnded: counters.ended,
    sessionsRejected: measured.calls.rejected,
    callFailures: measured.calls.failures,
    limitRefusals: readLimitRefusals(parts),
    callsShed: parts.guards.overload.counters.shed,
    deniedCallsDropped: parts.denied.dropped,
    eventsAppended: counters.eventsAppended,
    syncs: revocationCounters.syncs,
    staleAccepts: revocationCounters.staleAccepts,
    storeIsConnected: condition.isConnected,
    storeOpenPartitions: condition.openPartitions,
    storeBreaks: condition.breaks,
  };
}

function readLimitRefusals({ guards, watchers }: MeasuredParts): Counts {
  return new Map([...guards.refusals, ["watchers_max", watchers.counters.refused]]);
}

function readWatch({ hub, watchers }: MeasuredParts): Pick<MetricsSnapshot, WatchKey> {
  const { pulls, pullsFailed, restarts, resets } = hub.counters;
  const states = new Map<string, number>([
    ["live", 0],
    ["catching-up", 0],
    ["lagging", 0],
  ]);
  let watcherLagEvents = 0;
  for (const { state, lagEvents } of watchers.list()) {
    states.set(state.state, (states.get(state.state) ?? 0) + 1);
    watcherLagEvents = Math.max(watcherLagEvents, lagEvents);
  }
  return {
    feeds: hub.tails.map((tail): PartitionFeed => ({
      partition: tail.partition,
      ageMs: tail.ageMs,
      ringEvents: tail.ring?.size ?? 0,
      head: tail.logHead,
    })),
    pulls: new Map([
      ["ok", pulls - pullsFailed],
      ["failed", pullsFailed],
    ]),
    tailRestarts: restarts,
    watchers: states,
    watcherLagEvents,
    watchersOpened: watchers.counters.opened,
    watchersClosed: new Map(Object.entries(watchers.counters.closed)),
    resets: new Map(Object.entries(resets)),
  };
}

function readProcess(): Pick<MetricsSnapshot, ProcessKey> {
  const { rss, heapUsed, external } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    memory: new Map([
      ["resident", rss],
      ["heap", heapUsed],
      ["external", external],
    ]),
    cpuSeconds: (user + system) / 1e6,
  };
}
