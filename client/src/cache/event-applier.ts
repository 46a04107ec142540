import type { RevocationEvent } from "../base/event.js";
import { compareRevisions, type Revision } from "../base/revision.js";
import type { SessionEnd } from "../base/session.js";
import type { Entry, EntryTable } from "./entry-table.js";
import type { KnownRevocations } from "./known-revocations.js";

/** How often a revocation arrived after the session had been accepted from memory (S-14). */
export interface LateAccepts {
  readonly count: number;
  /** By the wall clocks of this machine and the store, so only as true as they are. */
  readonly ageMaxMs: number;
}

/** Turns events into what is remembered of them, and drops the entries they end. */
export class EventApplier {
  readonly #entries: EntryTable;
  readonly #known: KnownRevocations;
  readonly #raiseFloor: (revision: Revision) => void;
  #lateAccepts: LateAccepts = { count: 0, ageMaxMs: 0 };

  constructor(
    entries: EntryTable,
    known: KnownRevocations,
    raiseFloor: (revision: Revision) => void,
  ) {
    this.#entries = entries;
    this.#known = known;
    this.#raiseFloor = raiseFloor;
  }

  get lateAccepts(): LateAccepts {
    return this.#lateAccepts;
  }

  /** Applies one event; says whether it told anything new. */
  apply(event: RevocationEvent): boolean {
    if (event.kind === "changed") return this.#applyChange(event);
    if (event.target.kind === "session") {
      const { sessionId } = event.target;
      const isNews = this.#known.bury(sessionId, { revision: event.revision, end: endOf(event) });
      this.#noteLateAccept(this.#entries.drop(sessionId), event);
      return isNews;
    }
    const isNews = this.#known.cut(event);
    for (const { facts } of this.#entriesUnder(event)) {
      if (this.#known.cutoffEndOf(facts.session, facts.issued) === undefined) continue;
      this.#noteLateAccept(this.#entries.drop(facts.session.sessionId), event);
    }
    return isNews;
  }

  #applyChange(event: RevocationEvent): boolean {
    if (event.target.kind === "session") {
      const { sessionId } = event.target;
      this.#known.mark(sessionId, event.revision);
      const asOf = this.#entries.get(sessionId)?.facts.asOf;
      // An entry computed after the change knows of it.
      if (asOf !== undefined && compareRevisions(asOf, event.revision) < 0) {
        this.#entries.drop(sessionId);
      }
      return true;
    }
    this.#raiseFloor(event.revision);
    for (const { facts } of this.#entriesUnder(event)) this.#entries.drop(facts.session.sessionId);
    return true;
  }

  #entriesUnder(event: RevocationEvent): readonly Entry[] {
    const { partition } = event.revision;
    if (event.target.kind !== "subject") return this.#entries.ofPartition(partition);
    const entries = this.#entries.ofSubject(event.tenantId, event.target.subject);
    return entries.filter(({ facts }) => facts.issued.partition === partition);
  }

  #noteLateAccept(entry: Entry | undefined, event: RevocationEvent): void {
    const lastHitWallMs = entry?.lastHitWallMs;
    if (lastHitWallMs === undefined || event.revokedAtMs === undefined) return;
    const lateMs = lastHitWallMs - event.revokedAtMs;
    if (lateMs <= 0) return;
    const { count, ageMaxMs } = this.#lateAccepts;
    this.#lateAccepts = { count: count + 1, ageMaxMs: Math.max(ageMaxMs, lateMs) };
  }
}

function endOf(event: RevocationEvent): SessionEnd {
  return {
    reason: event.reason,
    atMs: event.revokedAtMs,
    initiatingEntity: event.initiatingEntity,
    reasonUser: "",
  };
}
