import type { Instant } from "../base/instant.js";
import { partitionOf, type Revision } from "../base/revision.js";
import type { Session } from "../base/session.js";
import { BoundedMap } from "./bounded-map.js";

/** What a VALID answer said. Facts are kept, verdicts never (S-18). */
export interface Facts {
  readonly session: Session;
  readonly asOf: Revision;
  readonly issued: Revision;
  readonly validForMs: number;
  readonly superseded: boolean;
  readonly authenticationAgeMs: number | undefined;
}

/** One cached answer. */
export interface Entry {
  /** Of the token that was answered; never the token (S-20). */
  readonly digest: string;
  readonly facts: Facts;
  /** When the question was sent. The answer may be as old as that. */
  readonly sentAt: Instant;
  /** The question's place among this client's own mutations. */
  readonly sentTick: number;
  /** The staleness bound that came with the answer, in ms. */
  readonly grantedMs: number;
  /** When it was last used, by this machine's wall clock; undefined where it never was. */
  lastHitWallMs: number | undefined;
}

/** The entries, bounded, least recently used first out, indexed by subject and partition. */
export class EntryTable {
  readonly #entries: BoundedMap<string, Entry>;
  readonly #bySubject = new Map<string, Set<string>>();
  readonly #byPartition = new Map<string, Set<string>>();

  constructor(capacity: number) {
    this.#entries = new BoundedMap(capacity, (entry) => {
      this.#unindex(entry);
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  get(sessionId: string): Entry | undefined {
    return this.#entries.get(sessionId);
  }

  /** Keeps an entry that was just used from being the next to go. */
  use(entry: Entry): void {
    this.#entries.refresh(entry.facts.session.sessionId, entry);
  }

  put(entry: Entry): void {
    const { session } = entry.facts;
    this.#index(entry);
    this.#entries.set(session.sessionId, entry);
  }

  drop(sessionId: string): Entry | undefined {
    const entry = this.#entries.get(sessionId);
    if (entry === undefined) return undefined;
    this.#entries.delete(sessionId);
    this.#unindex(entry);
    return entry;
  }

  /** A snapshot, so that entries may be dropped on the way. */
  ofSubject(tenantId: string, subject: string): readonly Entry[] {
    return this.#lookUp(this.#bySubject.get(subjectKey(tenantId, subject)));
  }

  /** A snapshot, so that entries may be dropped on the way. */
  ofPartition(partition: number): readonly Entry[] {
    return this.#lookUp(this.#byPartition.get(String(partition)));
  }

  /** All entries, for inspection. */
  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  clear(): void {
    this.#entries.clear();
    this.#bySubject.clear();
    this.#byPartition.clear();
  }

  #lookUp(ids: ReadonlySet<string> | undefined): readonly Entry[] {
    const found: Entry[] = [];
    for (const id of ids ?? []) {
      const entry = this.#entries.get(id);
      if (entry !== undefined) found.push(entry);
    }
    return found;
  }

  #index(entry: Entry): void {
    const { sessionId, tenantId, subject } = entry.facts.session;
    add(this.#bySubject, subjectKey(tenantId, subject), sessionId);
    add(this.#byPartition, String(partitionOf(sessionId)), sessionId);
  }

  #unindex(entry: Entry): void {
    const { sessionId, tenantId, subject } = entry.facts.session;
    remove(this.#bySubject, subjectKey(tenantId, subject), sessionId);
    remove(this.#byPartition, String(partitionOf(sessionId)), sessionId);
  }
}

function subjectKey(tenantId: string, subject: string): string {
  return `${tenantId.length}:${tenantId}:${subject}`;
}

function add(index: Map<string, Set<string>>, key: string, sessionId: string): void {
  const ids = index.get(key);
  if (ids === undefined) index.set(key, new Set([sessionId]));
  else ids.add(sessionId);
}

function remove(index: Map<string, Set<string>>, key: string, sessionId: string): void {
  const ids = index.get(key);
  if (ids === undefined) return;
  ids.delete(sessionId);
  if (ids.size === 0) index.delete(key);
}
