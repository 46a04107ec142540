/** The limits and intervals of the watch. */
export interface WatchOptions {
  /** The staleness bound L in ms. Intervals that a client relies on are fractions of it. */
  readonly maxStalenessMs: number;
  /**
   * Events kept in memory for each partition. A watcher further behind reads
   * the store. Raising it costs about 300 B an event and partition.
   *
   * @default 4096
   */
  readonly ringCapacity: number;
  /**
   * How often every partition is pulled without a nudge, in ms. It is the
   * latency where all nudges are lost.
   *
   * @default 100
   */
  readonly pullIntervalMs: number;
  /**
   * The least time between two pulls of a partition that Syncs ask for, in ms.
   * It bounds what Syncs can cost the store, whoever calls.
   *
   * @default 20
   */
  readonly syncPullSpacingMs: number;
  /**
   * How long news waits for company after the last news went out, in ms.
   * Raising it saves messages and costs latency.
   *
   * @default 5
   */
  readonly coalesceMs: number;
  /**
   * Streams held at once. Each costs a few KB and a share of the event loop.
   *
   * @default 10000
   */
  readonly watchersMax: number;
  /**
   * After what time a stream is asked to reconnect, in ms, so that load spreads
   * again after a scale-out. Each stream takes up to 10 % off.
   *
   * @default 1800000
   */
  readonly watchAgeMaxMs: number;
  /**
   * The window over which clients of an aged stream reconnect, in ms.
   *
   * @default 5000
   */
  readonly reconnectWithinMs: number;
}

/** The most events in one message. Below the size where one message delays others. */
export const FRAME_EVENTS_MAX = 256;

/** The most bytes of events in one message, but for a single event that is larger. */
export const FRAME_BYTES_MAX = 32 * 1024;

/** The most events that one pull of the tail asks for. What the store allows. */
export const PULL_EVENTS_MAX = 1000;

/** The most events in the answer to one Sync. The contract states it. */
export const SYNC_EVENTS_MAX = 1000;

/** Fills in what is not given. */
export function resolveWatchOptions(
  options: Pick<WatchOptions, "maxStalenessMs"> & Partial<WatchOptions>,
): WatchOptions {
  return {
    ringCapacity: 4096,
    pullIntervalMs: 100,
    syncPullSpacingMs: 20,
    coalesceMs: 5,
    watchersMax: 10_000,
    watchAgeMaxMs: 1_800_000,
    reconnectWithinMs: 5000,
    ...options,
  };
}
