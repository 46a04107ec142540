import type { Revision } from "#server/session/revision.js";
import type { PullResult, RevocationLog } from "#server/store/revocation-log.js";
import { StoreBehindError, StoreUnavailableError } from "#server/store/store-error.js";
import { entriesAfter, type LogPage } from "#server/watch/event-frame.js";
import type { RingEntry } from "#server/watch/event-ring.js";
import { LogReader } from "#server/watch/log-reader.js";
import { describe, expect, it } from "vitest";

import { FIRST_GENERATION, ScriptedLog } from "./scripted-log.js";

function at(sequence: number, generation = FIRST_GENERATION): Revision {
  return { partition: 0, generation, sequence };
}

function entry(revision: Revision): RingEntry {
  return { revision, tenantId: "acme", bytes: new Uint8Array() };
}

function readerOf(log: RevocationLog): LogReader {
  return new LogReader(0, { log, toEntry: ({ revision }) => entry(revision) });
}

describe("LogReader", () => {
  it("shares a read among those who ask for the same page", async () => {
    const log = new ScriptedLog();
    log.appendMany(0, 300);
    const reader = readerOf(log);

    const pages = await Promise.all([reader.read(at(3)), reader.read(at(3)), reader.read(at(4))]);

    expect(log.pulls).toHaveLength(2);
    expect(pages[0]).toBe(pages[1]);
    expect(pages[0].entries).toHaveLength(256);
  });

  it("has at most 32 reads in flight and refuses the next", async () => {
    const log = new ScriptedLog();
    log.appendMany(0, 100);
    log.held.add(0);
    const reader = readerOf(log);
    const reads = Array.from({ length: 32 }, async (_, index) => await reader.read(at(index)));

    await expect(reader.read(at(50))).rejects.toThrow(StoreUnavailableError);

    log.releaseHeld();
    expect(await Promise.all(reads)).toHaveLength(32);
    expect((await reader.read(at(50))).entries).toHaveLength(50);
  });

  it("keeps the last 32 pages and no more", async () => {
    const log = new ScriptedLog();
    log.appendMany(0, 40);
    const reader = readerOf(log);

    for (let index = 0; index < 33; index += 1) await reader.read(at(39 - index));

    // Page 39 held one event only, and was the first to go; 38's cover what they begin with.
    expect(reader.cached(at(7))?.entries).toHaveLength(33);
    expect(reader.cached(at(6))).toBeUndefined();
  });

  it("forgets the pages of a history that is gone, also one that is still being read", async () => {
    const log = new ScriptedLog();
    log.appendMany(0, 10);
    const reader = readerOf(log);
    await reader.read(at(3));
    log.held.add(0);
    const late = reader.read(at(4));

    reader.clear();
    log.releaseHeld();
    await late;

    expect(reader.cached(at(3))).toBeUndefined();
    expect(reader.cached(at(4))).toBeUndefined();
  });

  it("rejects where the log is behind the cursor", async () => {
    await expect(readerOf(new ScriptedLog()).read(at(1))).rejects.toThrow(StoreBehindError);
  });

  it("rejects a page that leads nowhere", async () => {
    const stuck: PullResult = { head: at(9), verdict: "continue", events: [], through: at(5) };
    const log: RevocationLog = {
      pull: () => Promise.resolve(stuck),
      onNudge: () => () => undefined,
    };

    await expect(readerOf(log).read(at(5))).rejects.toThrow(StoreBehindError);
  });
});

describe("entriesAfter", () => {
  const later = FIRST_GENERATION + 1;
  const page: LogPage = {
    from: at(10),
    through: at(2, later),
    head: at(2, later),
    verdict: "continue",
    // Of the old generation only 11 survived.
    entries: [entry(at(11)), entry(at(1, later)), entry(at(2, later))],
  };

  it("gives what follows the start of the page, or one of its events", () => {
    expect(entriesAfter(page, at(10))).toHaveLength(3);
    expect(entriesAfter(page, at(11))).toHaveLength(2);
    expect(entriesAfter(page, at(1, later))).toHaveLength(1);
  });

  it("does not speak of a cursor on a lost history, though it lies between two events", () => {
    expect(entriesAfter(page, at(12))).toBeUndefined();
    expect(entriesAfter(page, at(0, later))).toBeUndefined();
  });

  it("does not speak of what is outside the page", () => {
    expect(entriesAfter(page, at(9))).toBeUndefined();
    expect(entriesAfter(page, at(2, later))).toBeUndefined();
  });

  it("speaks of nothing but its own start where the position could not be resumed", () => {
    const reset: LogPage = { ...page, verdict: "too-old", entries: [] };

    expect(entriesAfter(reset, at(10))).toEqual([]);
    expect(entriesAfter(reset, at(11))).toBeUndefined();
  });
});
