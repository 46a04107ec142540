import type { RevocationEvent } from "../../session/event.js";
import { decideResume, type Fork } from "../../session/resume.js";
import { compareRevisions, type Revision } from "../../session/revision.js";
import type { PullResult } from "../revocation-log.js";

/**
 * Forks remembered at most. A log that changes its history more often than this
 * within its retention answers the oldest positions with "too old".
 */
const FORKS_MAX = 16;

/** The most events one pull returns, whatever it asks for. */
const PULL_MAX = 1_000;

/** An event before it has its place; `cutoff` says whether that place is one. */
export type NewEvent = Omit<RevocationEvent, "revision" | "cutoff"> & { readonly cutoff: boolean };

/** The revocation log of one partition: dense sequences, bounded, resumable over forks. */
export class MemoryLog {
  readonly #partition: number;
  readonly #retention: number;
  readonly #events: RevocationEvent[] = [];
  readonly #forks: Fork[] = [];
  #head: Revision;
  #trimmedThrough: Revision;

  constructor(start: Revision, retention: number) {
    this.#partition = start.partition;
    this.#retention = retention;
    this.#head = start;
    this.#trimmedThrough = start;
  }

  /** The newest place, whether or not there is an event at it. */
  get head(): Revision {
    return this.#head;
  }

  /** Events there are. */
  get size(): number {
    return this.#events.length;
  }

  /** Adds an event at the next place and returns the place. */
  append({ cutoff, ...event }: NewEvent): Revision {
    const revision = { ...this.#head, sequence: this.#head.sequence + 1 };
    this.#head = revision;
    this.#events.push({ ...event, revision, cutoff: cutoff ? revision : undefined });
    if (this.#events.length > this.#retention) {
      this.#trimmedThrough = this.#events.shift()?.revision ?? this.#trimmedThrough;
    }
    return revision;
  }

  /** The events after a position, or why they cannot be read. */
  pull(from: Revision | undefined, limit: number): PullResult {
    const head = this.#head;
    const verdict = from === undefined ? "continue" : this.#decide(from);
    if (from === undefined || verdict !== "continue") {
      return { head, verdict, events: [], through: head };
    }
    const first = this.#indexAfter(from);
    const events = this.#events.slice(first, first + Math.min(Math.max(limit, 1), PULL_MAX));
    const complete = first + events.length === this.#events.length;
    return { head, verdict, events, through: complete ? head : (events.at(-1)?.revision ?? head) };
  }

  /**
   * Changes history: the newest `lostEvents` of this generation never happened,
   * and a new one begins after what is left.
   */
  fork(generation: number, lostEvents: number): void {
    const retained = this.#events.length - this.#indexAfter({ ...this.#head, sequence: 0 });
    const lost = Math.min(lostEvents, retained);
    this.#events.splice(this.#events.length - lost, lost);
    this.#forks.push({
      generation: this.#head.generation,
      lastSequence: this.#head.sequence - lost,
    });
    if (this.#forks.length > FORKS_MAX) {
      this.#forks.shift();
    }
    this.#head = { partition: this.#partition, generation, sequence: 0 };
  }

  #decide(from: Revision): PullResult["verdict"] {
    return decideResume(from, {
      head: this.#head,
      trimmedThrough: this.#trimmedThrough,
      forks: this.#forks,
    });
  }

  /** The index of the first event after a position; binary, as a reader may lag by thousands. */
  #indexAfter(position: Revision): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const revision = this.#events[middle]?.revision;
      if (revision !== undefined && compareRevisions(revision, position) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
