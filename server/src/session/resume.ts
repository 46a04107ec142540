import { compareRevisions, type Revision } from "./revision.js";

/*
 * Whether a reader that stopped at some position can go on without a gap. This is
 * FAULTS.md's resume table, and the only place that decides it.
 *
 * A position is a place in one *history*. Redis may restart from an older file or
 * fail over to a replica that had not received the last events; the log then goes
 * on in a new generation from an earlier place, and what the old generation said
 * after that place never happened. A reader at or before the place has missed
 * nothing: it goes on with what is left of the old generation and then the new
 * one. A reader beyond it has applied events that are no longer true and must
 * forget them.
 *
 * Only "behind" is not final: this replica may simply not have caught up.
 */

/** Where a generation's surviving history ended. */
export interface Fork {
  readonly generation: number;
  /** The last sequence of that generation that survived. */
  readonly lastSequence: number;
}

/** What a log still knows of its history. */
export interface LogHistory {
  readonly head: Revision;
  /** The newest event that was trimmed away, or the place where the log began. */
  readonly trimmedThrough: Revision;
  /** The generations before the head's, oldest first. */
  readonly forks: readonly Fork[];
}

/** Whether the events after a position can be read without a gap. */
export function decideResume(
  position: Revision,
  history: LogHistory,
): "continue" | "too-old" | "history-forked" | "behind" {
  if (compareRevisions(position, history.head) > 0) {
    return "behind";
  }
  if (position.generation < history.head.generation) {
    const fork = history.forks.find(({ generation }) => generation === position.generation);
    if (fork === undefined) {
      return judgeUnknown(position, history);
    }
    if (position.sequence > fork.lastSequence) {
      return "history-forked";
    }
  }
  return compareRevisions(position, history.trimmedThrough) < 0 ? "too-old" : "continue";
}

/**
 * A generation this history knows no fork of is older than all of it, as forks go
 * with the log they belong to, or was opened on a history that is gone.
 */
function judgeUnknown(position: Revision, { forks }: LogHistory): "too-old" | "history-forked" {
  const oldest = forks[0];
  return oldest !== undefined && position.generation > oldest.generation
    ? "history-forked"
    : "too-old";
}
