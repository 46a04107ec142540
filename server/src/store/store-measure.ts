/** How much one partition of a store holds. */
export interface PartitionSize {
  readonly partition: number;
  /** Sessions without a written end: what a cutoff or a deadline ended counts until it is reaped. */
  readonly liveSessions: number;
  /** Sessions with a record, live or ended. */
  readonly keptSessions: number;
  /** Sessions whose expiry was written since the data began. */
  readonly expiredSessions: number;
  /** Events the log still has. */
  readonly logEvents: number;
}

/** How a store is, as this replica sees it. */
export interface StoreCondition {
  readonly isConnected: boolean;
  /** Partitions that are answered for. */
  readonly openPartitions: number;
  /** Times a connection broke or changed hands since the start. */
  readonly breaks: number;
}

/**
 * What became of a command to the store.
 *
 * - `ok`: it was answered.
 * - `refused`: the store said no, and applied nothing.
 * - `unknown`: no answer, or one that says nothing of the effect.
 */
export type CommandResult = "ok" | "refused" | "unknown";

/** Measures the commands of a store. On the hot path: it has to be fast and may not throw. */
export type MeterCommand = (name: string, result: CommandResult, durationMs: number) => void;
