import type { ListCursor } from "../session-store.js";

/**
 * One subject's session ids by (creation, id), as a sorted set would keep them.
 * An id leaves it only when its record is deleted or its end is written.
 */
export class SubjectIndex {
  readonly #entries: ListCursor[] = [];

  /** How many ids it holds. */
  get size(): number {
    return this.#entries.length;
  }

  /** Adds an id. */
  add(entry: ListCursor): void {
    this.#entries.splice(this.#indexFrom(entry), 0, entry);
  }

  /** Removes an id; one that is not there is ignored. */
  remove(entry: ListCursor): void {
    const index = this.#indexFrom(entry);
    if (this.#entries[index]?.sessionId === entry.sessionId) {
      this.#entries.splice(index, 1);
    }
  }

  /** At most `limit` entries after a place, oldest first. */
  after(cursor: ListCursor | undefined, limit: number): readonly ListCursor[] {
    const from = cursor === undefined ? 0 : this.#indexFrom(cursor);
    const isAtCursor = cursor !== undefined && this.#entries[from]?.sessionId === cursor.sessionId;
    const first = isAtCursor ? from + 1 : from;
    return this.#entries.slice(first, first + limit);
  }

  /** The newest `limit` entries, newest first. */
  newest(limit: number): readonly ListCursor[] {
    return this.#entries.slice(-limit).reverse();
  }

  /** The index of the first entry at or after a place. */
  #indexFrom(place: ListCursor): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#entries[middle];
      if (entry !== undefined && compareCursors(entry, place) < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}

function compareCursors(a: ListCursor, b: ListCursor): number {
  if (a.createdAtMs !== b.createdAtMs) {
    return a.createdAtMs - b.createdAtMs;
  }
  return a.sessionId < b.sessionId ? -1 : Number(a.sessionId > b.sessionId);
}
