import type { Counts, MetricsSnapshot, Sample } from "./metrics-source.js";

/*
 * Every metric of the authority. README.md has the same table for people, and a
 * test compares the two with what a scrape really shows.
 *
 * A label takes its values from a set that the contract or this code closes:
 * methods, statuses, outcomes, reasons, the 16 partitions. A session, a token, a
 * subject, a tenant or a caller is never one (S-46): their number has no bound, and
 * a metric is read by more people than a session.
 */

/** One metric. */
export interface Instrument {
  /** As OpenTelemetry has it; Prometheus shows dots as underscores. */
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  /** In UCUM: `s` are seconds, `By` bytes, `1` a ratio or a flag, `{…}` is counted. */
  readonly unit: string;
  readonly labels: readonly string[];
  readonly meaning: string;
}

/** A metric that is read from a number the authority keeps anyway, when it is asked for. */
export interface ObservedInstrument extends Instrument {
  readonly kind: "counter" | "gauge";
  readonly read: (snapshot: MetricsSnapshot) => readonly Sample[];
}

/** Every metric of that sort. */
export const OBSERVED: readonly ObservedInstrument[] = [
  {
    name: "coatcheck_validations_total",
    kind: "counter",
    unit: "{answer}",
    labels: ["outcome"],
    meaning: "Answers of ValidateSession, and of each item of a batch",
    read: ({ outcomes }) => each(outcomes),
  },
  {
    name: "coatcheck_sessions_created_total",
    kind: "counter",
    unit: "{session}",
    labels: [],
    meaning: "Sessions created by calls to this replica; repeats are not counted",
    read: ({ sessionsCreated }) => [[sessionsCreated]],
  },
  {
    name: "coatcheck_sessions_ended_total",
    kind: "counter",
    unit: "{session}",
    labels: ["reason"],
    meaning: "Sessions ended by calls to this replica; of a subject's, as many as were estimated",
    read: ({ sessionsEnded }) => each(sessionsEnded),
  },
  {
    name: "coatcheck_sessions_rejected_total",
    kind: "counter",
    unit: "{session}",
    labels: ["reason"],
    meaning: "Sessions not created because a limit, a policy or a lack of room forbade it",
    read: ({ sessionsRejected }) => each(sessionsRejected),
  },
  {
    name: "coatcheck_sessions_active",
    kind: "gauge",
    unit: "{session}",
    labels: ["partition"],
    meaning:
      "Sessions without a written end in the store; an end by a cutoff is written by the reaper",
    read: ({ sizes }) => byPartition(sizes, ({ liveSessions }) => liveSessions),
  },
  {
    name: "coatcheck_sessions_expired_total",
    kind: "counter",
    unit: "{session}",
    labels: ["partition"],
    meaning: "Sessions whose expiry was written to the store, by any replica",
    read: ({ sizes }) => byPartition(sizes, ({ expiredSessions }) => expiredSessions),
  },
  {
    name: "coatcheck_sessions_kept",
    kind: "gauge",
    unit: "{session}",
    labels: ["partition"],
    meaning: "Session records in the store: the active ones, and ended ones until they are reaped",
    read: ({ sizes }) => byPartition(sizes, ({ keptSessions }) => keptSessions),
  },
  {
    name: "coatcheck_call_failures_total",
    kind: "counter",
    unit: "{call}",
    labels: ["method", "reason"],
    meaning: "Failed calls by the reason in their ErrorInfo",
    read: ({ callFailures }) => byMethod(callFailures),
  },
  {
    name: "coatcheck_limit_refusals_total",
    kind: "counter",
    unit: "{refusal}",
    labels: ["limit"],
    meaning: "Calls, streams and connections refused at a limit, by its name in the file",
    read: ({ limitRefusals }) => each(limitRefusals),
  },
  {
    name: "coatcheck_calls_shed_total",
    kind: "counter",
    unit: "{call}",
    labels: ["rpc.method"],
    meaning: "Calls refused because the replica had more work than it can do",
    read: ({ callsShed }) => each(callsShed),
  },
  {
    name: "coatcheck_denied_calls_dropped_total",
    kind: "counter",
    unit: "{call}",
    labels: [],
    meaning: "Calls of strangers that left no entry in the audit trail: too many, or no store",
    read: ({ deniedCallsDropped }) => [[deniedCallsDropped]],
  },
  {
    name: "coatcheck_calls_in_flight",
    kind: "gauge",
    unit: "{call}",
    labels: [],
    meaning: "Unary calls being worked on",
    read: ({ callsInFlight }) => [[callsInFlight]],
  },
  {
    name: "coatcheck_log_events_total",
    kind: "counter",
    unit: "{event}",
    labels: [],
    meaning: "Events appended to the revocation log by calls to this replica",
    read: ({ eventsAppended }) => [[eventsAppended]],
  },
  {
    name: "coatcheck_log_head_sequence",
    kind: "gauge",
    unit: "{event}",
    labels: ["partition"],
    meaning: "Sequence of the newest event, as this replica last read it; restarts at a generation",
    read: ({ feeds }) => byPartition(feeds, ({ head }) => head?.sequence),
  },
  {
    name: "coatcheck_log_generation",
    kind: "gauge",
    unit: "us",
    labels: ["partition"],
    meaning: "Generation of the log, an instant since 1970; a change is a failover or a restore",
    read: ({ feeds }) => byPartition(feeds, ({ head }) => head?.generation),
  },
  {
    name: "coatcheck_log_window_events",
    kind: "gauge",
    unit: "{event}",
    labels: ["partition"],
    meaning: "Events the log still has: what a client may miss and resume without a reset",
    read: ({ sizes }) => byPartition(sizes, ({ logEvents }) => logEvents),
  },
  {
    name: "coatcheck_ring_window_events",
    kind: "gauge",
    unit: "{event}",
    labels: ["partition"],
    meaning: "Events in this replica's memory: what a watcher may miss without a read of the log",
    read: ({ feeds }) => byPartition(feeds, ({ ringEvents }) => ringEvents),
  },
  {
    name: "coatcheck_feed_age_seconds",
    kind: "gauge",
    unit: "s",
    labels: ["partition"],
    meaning: "Time since the log was last read; beyond 1 the replica is not ready",
    read: ({ feeds }) => byPartition(feeds, ({ ageMs }) => ageMs / 1000),
  },
  {
    name: "coatcheck_pulls_total",
    kind: "counter",
    unit: "{pull}",
    labels: ["result"],
    meaning: "Reads of the log by the tails, `ok` or `failed`",
    read: ({ pulls }) => each(pulls),
  },
  {
    name: "coatcheck_tail_restarts_total",
    kind: "counter",
    unit: "{restart}",
    labels: [],
    meaning: "Times the memory of a partition began anew: another generation, or a hole",
    read: ({ tailRestarts }) => [[tailRestarts]],
  },
  {
    name: "coatcheck_watchers",
    kind: "gauge",
    unit: "{stream}",
    labels: ["state"],
    meaning: "Open watch streams: `live`, `catching-up` or `lagging`",
    read: ({ watchers }) => each(watchers),
  },
  {
    name: "coatcheck_watcher_lag_events",
    kind: "gauge",
    unit: "{event}",
    labels: [],
    meaning: "Events that the watcher furthest behind has still to be told",
    read: ({ watcherLagEvents }) => [[watcherLagEvents]],
  },
  {
    name: "coatcheck_watchers_opened_total",
    kind: "counter",
    unit: "{stream}",
    labels: [],
    meaning: "Watch streams opened",
    read: ({ watchersOpened }) => [[watchersOpened]],
  },
  {
    name: "coatcheck_watchers_closed_total",
    kind: "counter",
    unit: "{stream}",
    labels: ["cause"],
    meaning: "Watch streams closed: `ended` by the client, `drained`, `too-slow` or `behind`",
    read: ({ watchersClosed }) => each(watchersClosed),
  },
  {
    name: "coatcheck_resets_total",
    kind: "counter",
    unit: "{reset}",
    labels: ["reason"],
    meaning: "Partitions whose watcher or Sync could not resume and was reset",
    read: ({ resets }) => each(resets),
  },
  {
    name: "coatcheck_syncs_total",
    kind: "counter",
    unit: "{sync}",
    labels: [],
    meaning: "Syncs answered",
    read: ({ syncs }) => [[syncs]],
  },
  {
    name: "coatcheck_stale_accepts_total",
    kind: "counter",
    unit: "{answer}",
    labels: [],
    meaning: "Stale answers that clients say they accepted while nobody could be asked",
    read: ({ staleAccepts }) => [[staleAccepts]],
  },
  {
    name: "coatcheck_store_connected",
    kind: "gauge",
    unit: "1",
    labels: ["store"],
    meaning: "1 while there is a connection to the store, else 0",
    read: ({ storeIsConnected, store }) => [[storeIsConnected ? 1 : 0, store]],
  },
  {
    name: "coatcheck_store_open_partitions",
    kind: "gauge",
    unit: "{partition}",
    labels: [],
    meaning: "Partitions answered for; one is closed from a break until it was read again",
    read: ({ storeOpenPartitions }) => [[storeOpenPartitions]],
  },
  {
    name: "coatcheck_store_breaks_total",
    kind: "counter",
    unit: "{break}",
    labels: [],
    meaning: "Times a connection to the store broke or changed hands",
    read: ({ storeBreaks }) => [[storeBreaks]],
  },
  {
    name: "coatcheck_ready",
    kind: "gauge",
    unit: "1",
    labels: [],
    meaning: "1 while the health service says SERVING, else 0",
    read: ({ isReady }) => [[isReady ? 1 : 0]],
  },
  {
    name: "coatcheck_process_memory_bytes",
    kind: "gauge",
    unit: "By",
    labels: ["kind"],
    meaning: "Memory of the process: `resident`, `heap` in use, `external` buffers",
    read: ({ memory }) => each(memory),
  },
  {
    name: "coatcheck_process_cpu_seconds_total",
    kind: "counter",
    unit: "s",
    labels: [],
    meaning: "Processor time of the process, of user and system together",
    read: ({ cpuSeconds }) => [[cpuSeconds]],
  },
  {
    name: "coatcheck_event_loop_utilization",
    kind: "gauge",
    unit: "1",
    labels: [],
    meaning: "Share of the time since the last scrape in which the event loop was busy",
    read: ({ eventLoopUtilization }) => [[eventLoopUtilization]],
  },
  {
    name: "coatcheck_build_info",
    kind: "gauge",
    unit: "1",
    labels: ["version", "store"],
    meaning: "Always 1; the labels say what is running",
    read: ({ version, store }) => [[1, version, store]],
  },
];

/** Metrics that are measured as things happen. Both labels, in the order of `Durations`. */
export const MEASURED = {
  calls: {
    name: "rpc.server.call.duration",
    kind: "histogram",
    unit: "s",
    labels: ["rpc.method", "rpc.response.status_code"],
    meaning: "Time from a call's arrival in its handler to its status; a stream counts at its end",
  },
  scripts: {
    name: "coatcheck_script_duration_seconds",
    kind: "histogram",
    unit: "s",
    labels: ["script", "result"],
    meaning: "Time from sending a script to Redis to its answer: `ok`, `refused` or `unknown`",
  },
} as const satisfies Readonly<Record<string, Instrument>>;

/** All of them, in the order of the tables. */
export const INSTRUMENTS: readonly Instrument[] = [...Object.values(MEASURED), ...OBSERVED];

/** A name as Prometheus shows it. */
export function prometheusName(name: string): string {
  return name.replaceAll(".", "_");
}

function each(counts: Counts): Sample[] {
  return [...counts].map(([name, count]): Sample => [count, name]);
}

function byMethod(failures: ReadonlyMap<string, Counts>): Sample[] {
  return [...failures].flatMap(([method, reasons]) =>
    [...reasons].map(([reason, count]): Sample => [count, method, reason]),
  );
}

/** A sample for each partition; one whose value is not known yet has none. */
function byPartition<Row extends { readonly partition: number }>(
  rows: readonly Row[],
  read: (row: Row) => number | undefined,
): Sample[] {
  return rows.flatMap((row): Sample[] => {
    const value = read(row);
    return value === undefined ? [] : [[value, String(row.partition)]];
  });
}
