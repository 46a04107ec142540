import type { RevocationEvent } from "../base/event.js";
import { compareRevisions, laterRevision, type Revision } from "../base/revision.js";
import type { Session, SessionEnd } from "../base/session.js";
import { BoundedMap } from "./bounded-map.js";

/**
 * What is known of the revocations of many sessions at once, in one partition
 * and one scope. Several of them are one record: each bound keeps its maximum,
 * because an event that arrives late or again must not revive anything.
 */
interface Cutoff {
  /** Sessions issued before it have ended. */
  readonly issuedBefore: Revision | undefined;
  /** Sessions created before it have ended, in ms of the store's clock. */
  readonly createdBeforeMs: number;
  /**
   * Sessions spared by the event that set `issuedBefore`, each with the bound
   * that held for it before: to be spared by one event undoes no other.
   */
  readonly except: ReadonlyMap<string, Revision | undefined>;
  /** The latest event: a reply computed before it is not kept. */
  readonly latest: Revision;
  readonly end: SessionEnd;
}

/** Bounded memory of cutoffs, by partition and scope. */
export class Cutoffs {
  readonly #records: BoundedMap<string, Cutoff>;

  /** Forgetting a cutoff hands its latest revision to `onEvict`. */
  constructor(capacity: number, onEvict: (latest: Revision) => void) {
    this.#records = new BoundedMap(capacity, (cutoff) => {
      onEvict(cutoff.latest);
    });
  }

  get size(): number {
    return this.#records.size;
  }

  /** Adds an event to what is known; says whether it changed anything. */
  apply(event: RevocationEvent): boolean {
    const scope = scopeOf(event);
    if (scope === undefined) return false;
    const known = this.#records.get(scope);
    const next = merge(known, event);
    this.#records.set(scope, next);
    return (
      known === undefined ||
      known.issuedBefore !== next.issuedBefore ||
      known.createdBeforeMs !== next.createdBeforeMs
    );
  }

  /** How a session ended by a cutoff, or undefined where no cutoff ended it. */
  endOf(session: Session, issued: Revision): SessionEnd | undefined {
    for (const cutoff of this.#covering(session, issued.partition)) {
      if (session.createdAtMs < cutoff.createdBeforeMs) return cutoff.end;
      const bound = boundFor(session.sessionId, cutoff);
      if (bound !== undefined && compareRevisions(issued, bound) < 0) return cutoff.end;
    }
    return undefined;
  }

  /** The latest event whose scope a session is in, whether or not it ended the session. */
  latestCovering(session: Session, partition: number): Revision | undefined {
    let latest: Revision | undefined;
    for (const cutoff of this.#covering(session, partition)) {
      latest = laterRevision(latest, cutoff.latest);
    }
    return latest;
  }

  clear(): void {
    this.#records.clear();
  }

  *#covering(session: Session, partition: number): Generator<Cutoff> {
    if (this.#records.size === 0) return;
    const scopes = [
      scopeKey(partition, "all"),
      scopeKey(partition, "tenant", session.tenantId),
      scopeKey(partition, "client", session.tenantId, session.clientId),
    ];
    // Anonymous sessions have no subject, and no cutoff by one.
    if (session.subject !== "") {
      scopes.push(scopeKey(partition, "subject", session.tenantId, session.subject));
    }
    for (const scope of scopes) {
      const cutoff = this.#records.get(scope);
      if (cutoff !== undefined) yield cutoff;
    }
  }
}

function merge(known: Cutoff | undefined, event: RevocationEvent): Cutoff {
  const createdBeforeMs = event.target.kind === "tenant" ? event.target.createdBeforeMs : undefined;
  // An event with an instant speaks of sessions created before it and of no others.
  const bound = createdBeforeMs === undefined ? (event.cutoff ?? event.revision) : undefined;
  const raises = bound !== undefined && isAbove(bound, known?.issuedBefore);
  return {
    issuedBefore: raises ? bound : known?.issuedBefore,
    createdBeforeMs: Math.max(
      known?.createdBeforeMs ?? Number.NEGATIVE_INFINITY,
      createdBeforeMs ?? Number.NEGATIVE_INFINITY,
    ),
    except: raises ? spare(event, known) : (known?.except ?? new Map()),
    latest: laterRevision(known?.latest, event.revision),
    end: {
      reason: event.reason,
      atMs: event.revokedAtMs,
      initiatingEntity: event.initiatingEntity,
      reasonUser: "",
    },
  };
}

function isAbove(bound: Revision, known: Revision | undefined): boolean {
  return known === undefined || compareRevisions(bound, known) > 0;
}

/** The revision that the session must have been issued at, or later, to live. */
function boundFor(sessionId: string, cutoff: Cutoff): Revision | undefined {
  return cutoff.except.has(sessionId) ? cutoff.except.get(sessionId) : cutoff.issuedBefore;
}

function spare(
  event: RevocationEvent,
  known: Cutoff | undefined,
): ReadonlyMap<string, Revision | undefined> {
  const ids = event.target.kind === "subject" ? event.target.except : [];
  return new Map(ids.map((id) => [id, known && boundFor(id, known)]));
}

function scopeOf(event: RevocationEvent): string | undefined {
  const { target, tenantId } = event;
  const { partition } = event.revision;
  switch (target.kind) {
    case "subject":
      return scopeKey(partition, "subject", tenantId, target.subject);
    case "tenant":
      return target.clientId === ""
        ? scopeKey(partition, "tenant", tenantId)
        : scopeKey(partition, "client", tenantId, target.clientId);
    case "all":
      return scopeKey(partition, "all");
    case "session":
      return undefined;
  }
}

/** Each part carries its length, so that no tenant or subject can be read as another (I-05). */
function scopeKey(partition: number, kind: string, ...names: readonly string[]): string {
  return `${partition}:${kind}${names.map((name) => `:${name.length}:${name}`).join("")}`;
}
