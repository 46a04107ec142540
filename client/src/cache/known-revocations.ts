import type { RevocationEvent } from "../base/event.js";
import { laterRevision, type Revision } from "../base/revision.js";
import type { Session, SessionEnd } from "../base/session.js";
import { BoundedMap } from "./bounded-map.js";
import { Cutoffs } from "./cutoffs.js";

/** Why a session is denied without asking. */
export interface Tombstone {
  readonly revision: Revision;
  readonly end: SessionEnd;
}

/** How much is remembered. Each bound is a number of records. */
export interface KnownRevocationLimits {
  readonly tombstonesMax: number;
  readonly marksMax: number;
  readonly cutoffsMax: number;
}

/**
 * What this client has been told of revocations and changes, bounded.
 *
 * Dropping an entry is not enough: a validation that was on its way when the
 * event came would put the entry back. So what an event said is remembered, as
 * a tombstone (the session ended), a mark (answers before this revision are out
 * of date) or a cutoff (many sessions ended). Whatever is forgotten for lack of
 * room hands its revision to `onForget`, which must then refuse to keep any
 * answer computed before it.
 */
export class KnownRevocations {
  readonly #tombstones: BoundedMap<string, Tombstone>;
  readonly #marks: BoundedMap<string, Revision>;
  readonly #cutoffs: Cutoffs;

  constructor(limits: KnownRevocationLimits, onForget: (revision: Revision) => void) {
    this.#tombstones = new BoundedMap(limits.tombstonesMax, (tombstone) => {
      onForget(tombstone.revision);
    });
    this.#marks = new BoundedMap(limits.marksMax, onForget);
    this.#cutoffs = new Cutoffs(limits.cutoffsMax, onForget);
  }

  get tombstoneCount(): number {
    return this.#tombstones.size;
  }

  /** A tombstone is sticky: no answer, of whatever generation, removes it. */
  tombstoneOf(sessionId: string): Tombstone | undefined {
    return this.#tombstones.get(sessionId);
  }

  /** Remembers that a session ended; says whether that was news. */
  bury(sessionId: string, tombstone: Tombstone): boolean {
    const known = this.#tombstones.get(sessionId);
    this.#tombstones.set(sessionId, {
      revision: laterRevision(known?.revision, tombstone.revision),
      end: known?.end ?? tombstone.end,
    });
    return known === undefined;
  }

  /** Remembers that answers on a session below `revision` are out of date. */
  mark(sessionId: string, revision: Revision): void {
    this.#marks.set(sessionId, laterRevision(this.#marks.get(sessionId), revision));
  }

  markOf(sessionId: string): Revision | undefined {
    return this.#marks.get(sessionId);
  }

  /** Remembers the end of many sessions; says whether that was news. */
  cut(event: RevocationEvent): boolean {
    return this.#cutoffs.apply(event);
  }

  /** How a cutoff ended a session, or undefined where none did. */
  cutoffEndOf(session: Session, issued: Revision): SessionEnd | undefined {
    return this.#cutoffs.endOf(session, issued);
  }

  /** The latest cutoff whose scope a session is in, even where it lives on. */
  latestCutoffCovering(session: Session, partition: number): Revision | undefined {
    return this.#cutoffs.latestCovering(session, partition);
  }

  clear(): void {
    this.#tombstones.clear();
    this.#marks.clear();
    this.#cutoffs.clear();
  }
}
