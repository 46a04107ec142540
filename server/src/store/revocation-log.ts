import type { RevocationEvent } from "../session/event.js";
import type { Revision } from "../session/revision.js";
import type { IncidentMode } from "./incident.js";

/**
 * Whether the events after a position can be read without a gap.
 *
 * - `continue`: they can.
 * - `too-old`: the log has been trimmed after the position.
 * - `history-forked`: the position lies on a history that was lost.
 * - `behind`: the position is ahead of this log; nothing can be said.
 *
 * FAULTS.md has the table.
 */
export type ResumeVerdict = "continue" | "too-old" | "history-forked" | "behind";

/** What a pull found. */
export interface PullResult {
  /** The head, read in the same step as the events. */
  readonly head: Revision;
  readonly verdict: ResumeVerdict;
  /** The events after the position, oldest first; empty unless `continue`. */
  readonly events: readonly RevocationEvent[];
  /**
   * How far `events` reach: the head, or the last event where the limit cut
   * them short. The head unless `continue`.
   */
  readonly through: Revision;
  /** The incident mode of the partition, where one is running. */
  readonly incident?: IncidentMode | undefined;
}

/** The ordered, durable list of events of each partition. */
export interface RevocationLog {
  /**
   * The only way anything reads the log. Notices a change of Redis history and
   * opens a new generation in the same step.
   *
   * @param from undefined asks for the head alone.
   * @param limit the most events to return, 1 to 1,000.
   */
  pull(partition: number, from: Revision | undefined, limit: number): Promise<PullResult>;
  /**
   * Calls `listener` when a partition probably has news, from this replica or
   * another. May be lost without harm. Returns what unsubscribes.
   */
  onNudge(listener: (partition: number) => void): () => void;
}
