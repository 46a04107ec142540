import type { Durations } from "./durations.js";

/** A value and its labels, in the order the instrument names them. */
export type Sample = readonly [value: number, ...labels: readonly string[]];

/** Counts by name. */
export type Counts = ReadonlyMap<string, number>;

/** What one partition of the store holds. */
export interface PartitionSize {
  readonly partition: number;
  readonly liveSessions: number;
  readonly keptSessions: number;
  readonly expiredSessions: number;
  readonly logEvents: number;
}

/** One partition as this replica follows it. */
export interface PartitionFeed {
  readonly partition: number;
  readonly ageMs: number;
  readonly ringEvents: number;
  /** Undefined before the first read. */
  readonly head: { readonly generation: number; readonly sequence: number } | undefined;
}

/** Everything that is observed, at one instant. */
export interface MetricsSnapshot {
  readonly version: string;
  readonly store: string;
  readonly isReady: boolean;
  readonly callsInFlight: number;
  readonly outcomes: Counts;
  readonly sessionsCreated: number;
  readonly sessionsEnded: Counts;
  readonly sessionsRejected: Counts;
  /** Reasons by method. */
  readonly callFailures: ReadonlyMap<string, Counts>;
  /** Limits by their name in the configuration file. */
  readonly limitRefusals: Counts;
  /** Methods. */
  readonly callsShed: Counts;
  readonly deniedCallsDropped: number;
  readonly eventsAppended: number;
  readonly feeds: readonly PartitionFeed[];
  readonly pulls: Counts;
  readonly tailRestarts: number;
  readonly watchers: Counts;
  readonly watcherLagEvents: number;
  readonly watchersOpened: number;
  readonly watchersClosed: Counts;
  readonly resets: Counts;
  readonly syncs: number;
  readonly staleAccepts: number;
  readonly storeIsConnected: boolean;
  readonly storeOpenPartitions: number;
  readonly storeBreaks: number;
  readonly memory: Counts;
  readonly cpuSeconds: number;
  /** Since the last snapshot. */
  readonly eventLoopUtilization: number;
  /** What could be asked in time: a partition that is away is missing. */
  readonly sizes: readonly PartitionSize[];
}

/** Where metrics come from. Nothing in it is counted for their sake alone but durations. */
export interface MetricsSource {
  readonly calls: Durations;
  readonly scripts: Durations;
  /** Reads everything else. A store that is away makes it late by a command's timeout at most. */
  read(): Promise<MetricsSnapshot>;
}
