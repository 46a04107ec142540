import type { RevocationEvent } from "../session/event.js";
import { compareRevisions, type Revision } from "../session/revision.js";
import type { RevocationLog } from "../store/revocation-log.js";
import { StoreBehindError, StoreUnavailableError } from "../store/store-error.js";
import { entriesAfter, type LogPage } from "./event-frame.js";
import type { RingEntry } from "./event-ring.js";
import { FRAME_EVENTS_MAX } from "./watch-options.js";

// Both are 32 so that every read in flight finds room for its page when all end together.
// They bound what any number of watchers that are behind can cost: 32 pages of 256 events.
const READS_MAX = 32;
const PAGES_MAX = 32;

/** What a reader needs. */
export interface LogReaderEnvironment {
  readonly log: RevocationLog;
  readonly toEntry: (event: RevocationEvent) => RingEntry;
}

/**
 * Reads stretches of one partition's log that have left the ring. Watchers at
 * the same place share the read and the encoded page; a watcher holds neither,
 * so that one which does not read costs no more than its cursors (I16).
 */
export class LogReader {
  readonly #partition: number;
  readonly #environment: LogReaderEnvironment;
  readonly #reads = new Map<string, Promise<LogPage>>();
  #pages: LogPage[] = [];
  // A page read before `clear` belongs to a history that may be gone.
  #epoch = 0;

  constructor(partition: number, environment: LogReaderEnvironment) {
    this.#partition = partition;
    this.#environment = environment;
  }

  /** A page that has the events after `cursor`, if one was read lately. */
  cached(cursor: Revision): LogPage | undefined {
    return this.#pages.findLast((page) => entriesAfter(page, cursor) !== undefined);
  }

  /**
   * Reads the page after `cursor`. Rejects with `StoreBehindError` where the
   * log does not know the cursor yet, and with what the store rejects with.
   */
  async read(cursor: Revision): Promise<LogPage> {
    const key = `${cursor.generation}-${cursor.sequence}`;
    const shared = this.#reads.get(key);
    if (shared !== undefined) {
      return await shared;
    }
    if (this.#reads.size >= READS_MAX) {
      throw new StoreUnavailableError(
        `Cannot read the log of partition ${this.#partition}: ${READS_MAX} reads are under way`,
        "no",
      );
    }
    const reading = this.#load(cursor).finally(() => {
      this.#reads.delete(key);
    });
    this.#reads.set(key, reading);
    return await reading;
  }

  /** Forgets every page. */
  clear(): void {
    this.#pages = [];
    this.#epoch += 1;
  }

  async #load(cursor: Revision): Promise<LogPage> {
    const epoch = this.#epoch;
    const result = await this.#environment.log.pull(this.#partition, cursor, FRAME_EVENTS_MAX);
    const { verdict, head, through } = result;
    // A page that leads nowhere would be asked for again and again.
    const isStuck = verdict === "continue" && compareRevisions(through, cursor) <= 0;
    if (verdict === "behind" || isStuck) {
      throw new StoreBehindError(
        `Cannot read partition ${this.#partition}: the log is behind the position`,
      );
    }
    const entries = result.events.map((event) => this.#environment.toEntry(event));
    const page: LogPage = { from: cursor, through, head, verdict, entries };
    if (epoch === this.#epoch) {
      this.#pages = [...this.#pages.slice(1 - PAGES_MAX), page];
    }
    return page;
  }
}
