import type { Revision } from "#server/session/revision.js";
import { StoreUnavailableError } from "#server/store/store-error.js";
import { answerSync, type SyncAnswer } from "#server/watch/sync.js";
import { createTenantFilter } from "#server/watch/tenant-filter.js";
import { describe, expect, it } from "vitest";

import { FIRST_GENERATION, ScriptedLog } from "./scripted-log.js";
import { MAX_STALENESS_MS, WatchBench } from "./watch-bench.js";

function at(partition: number, sequence: number, generation = FIRST_GENERATION): Revision {
  return { partition, generation, sequence };
}

async function sync(
  bench: WatchBench,
  position: readonly Revision[],
  tenants?: readonly string[],
): Promise<SyncAnswer> {
  const answer = answerSync(
    { hub: bench.hub, clock: bench.clock, maxStalenessMs: MAX_STALENESS_MS },
    {
      position: new Map(position.map((revision) => [revision.partition, revision])),
      filter: createTenantFilter(tenants),
    },
  );
  answer.catch(() => undefined);
  await bench.pass(MAX_STALENESS_MS / 6);
  return await answer;
}

function rangeOf(answer: SyncAnswer, partition: number): SyncAnswer["ranges"][number] | undefined {
  return answer.ranges.find(({ through }) => through.partition === partition);
}

function headOf(answer: SyncAnswer, partition: number): Revision | undefined {
  return answer.heads.find((head) => head.partition === partition);
}

describe("answerSync", () => {
  it("gives a caller without a position the heads, each with a range to start from", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(2, 5);

    const answer = await sync(bench, []);

    expect(answer.heads).toHaveLength(16);
    expect(rangeOf(answer, 2)).toEqual({ fromExclusive: at(2, 5), through: at(2, 5) });
    expect(answer.events).toEqual([]);
    expect(answer.resets.size).toBe(0);
  });

  it("gives the events after the position up to the head", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(2, 5);

    const answer = await sync(bench, [at(2, 2)]);

    expect(answer.events).toHaveLength(3);
    expect(rangeOf(answer, 2)).toEqual({ fromExclusive: at(2, 2), through: at(2, 5) });
    expect(headOf(answer, 2)).toEqual(at(2, 5));
  });

  it("has an event that was committed before it asked, nudged or not (I4)", async () => {
    const bench = await new WatchBench({ pullIntervalMs: 100_000 }).start();
    bench.log.nudges = false;
    bench.log.append(2);

    const answer = await sync(bench, [at(2, 0)]);

    expect(answer.events).toHaveLength(1);
    expect(headOf(answer, 2)).toEqual(at(2, 1));
  });

  it("reads the log for a position that has left the ring", async () => {
    const bench = await new WatchBench({ ringCapacity: 16 }).start();
    bench.log.appendMany(2, 700);

    const answer = await sync(bench, [at(2, 0)]);

    expect(answer.events).toHaveLength(700);
    expect(rangeOf(answer, 2)?.through).toEqual(at(2, 700));
  });

  it("gives at most 1,000 events, and ranges that end where they end", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(0, 2500);
    bench.log.appendMany(1, 10);
    bench.log.appendMany(2, 2500);

    const answer = await sync(bench, [at(0, 0), at(1, 0), at(2, 0)]);

    expect(answer.events).toHaveLength(1000);
    expect(rangeOf(answer, 1)?.through).toEqual(at(1, 10));
    expect(rangeOf(answer, 0)?.through).toEqual(at(0, 495));
    expect(rangeOf(answer, 2)?.through).toEqual(at(2, 495));
    expect(headOf(answer, 0)).toEqual(at(0, 2500));
  });

  it("leads to the head when asked again and again, with every event once", async () => {
    const bench = await new WatchBench({ ringCapacity: 64 }).start();
    bench.log.appendMany(0, 3000);
    let position = at(0, 0);
    let events = 0;

    for (let turn = 0; turn < 4; turn += 1) {
      const answer = await sync(bench, [position]);
      events += answer.events.length;
      position = rangeOf(answer, 0)?.through ?? position;
    }

    expect(position).toEqual(at(0, 3000));
    expect(events).toBe(3000);
  });

  it("leaves other tenants' events out and covers them", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(2, 900, { tenantId: "busy" });
    bench.log.append(2, { tenantId: "quiet" });
    bench.log.append(2, { all: true });
    bench.log.appendMany(2, 300, { tenantId: "busy" });

    const answer = await sync(bench, [at(2, 0)], ["quiet"]);

    expect(answer.events).toHaveLength(2);
    expect(rangeOf(answer, 2)?.through).toEqual(at(2, 1202));
  });

  it("counts only what a caller of one tenant may see, and its ranges join without a hole", async () => {
    const bench = await new WatchBench({ ringCapacity: 64 }).start();
    for (let event = 0; event < 1500; event += 1) {
      bench.log.append(2, { tenantId: event % 2 === 0 ? "quiet" : "busy" });
      bench.log.append(5, { tenantId: "busy" });
    }
    bench.log.appendMany(2, 900, { tenantId: "quiet" });
    await bench.pass(10);
    let position = [at(2, 0), at(5, 0)];
    const events: number[] = [];

    while (position[0]?.sequence !== 2400 || position[1]?.sequence !== 1500) {
      const answer = await sync(bench, position, ["quiet"]);
      for (const [index, { partition }] of position.entries()) {
        expect(rangeOf(answer, partition)?.fromExclusive).toEqual(position[index]);
      }
      events.push(answer.events.length);
      position = [2, 5].map((partition) => rangeOf(answer, partition)?.through ?? at(partition, 0));
    }

    // Read in four pages of 256 at most until the ring goes on: 512, then what the ring has.
    expect(events.every((count) => count <= 1000)).toBe(true);
    expect(events.reduce((sum, count) => sum + count, 0)).toBe(750 + 900);
  });

  it.each([
    ["trimmed", 1, "too-old"],
    ["first that is left", 2, undefined],
  ])("answers a position that is %s by the resume table", async (_, sequence, reason) => {
    const log = new ScriptedLog(10);
    log.appendMany(0, 12);
    const bench = await new WatchBench({}, log).start();

    const answer = await sync(bench, [at(0, sequence)]);

    expect([...answer.resets]).toEqual(reason === undefined ? [] : [[reason, [at(0, 12)]]]);
    expect(answer.events).toHaveLength(reason === undefined ? 10 : 0);
    expect(rangeOf(answer, 0)?.through).toEqual(at(0, 12));
  });

  it("resets a position on a lost history and continues one that was kept", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(0, 3);
    bench.log.appendMany(1, 3);
    bench.log.fork(0, 1);
    bench.log.fork(1, 0);
    bench.log.append(1);

    const answer = await sync(bench, [at(0, 3), at(1, 3)]);

    expect([...answer.resets.keys()]).toEqual(["history-forked"]);
    expect(answer.resets.get("history-forked")).toEqual([bench.log.head(0)]);
    expect(answer.events).toHaveLength(1);
    expect(rangeOf(answer, 1)?.through).toEqual(bench.log.head(1));
  });

  it("covers a new generation that has no event yet, or its lease could not be renewed", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(1, 3);
    await bench.pass(0);
    const kept = bench.log.head(1);
    bench.log.fork(1, 0);

    const answer = await sync(bench, [kept]);

    expect(headOf(answer, 1)).toEqual(at(1, 0, FIRST_GENERATION + 1_000_000));
    expect(rangeOf(answer, 1)).toEqual({ fromExclusive: kept, through: headOf(answer, 1) });
    expect(answer.resets.size).toBe(0);
  });

  it.each([
    ["sequence", at(3, 1)],
    ["generation", at(3, 0, FIRST_GENERATION + 1)],
  ])("leaves out a partition where the caller's %s is ahead", async (_, position) => {
    const bench = await new WatchBench().start();

    const answer = await sync(bench, [position]);

    expect(headOf(answer, 3)).toBeUndefined();
    expect(rangeOf(answer, 3)).toBeUndefined();
    expect(answer.heads).toHaveLength(15);
  });

  it("leaves out a partition that is silent for L/6 and answers with the rest (FAULTS row 17)", async () => {
    const bench = await new WatchBench().start();
    bench.log.held.add(3);

    const answer = await sync(bench, [at(3, 0)]);

    expect(headOf(answer, 3)).toBeUndefined();
    expect(rangeOf(answer, 3)).toBeUndefined();
    expect(answer.heads).toHaveLength(15);
  });

  it("fails where no partition answers", async () => {
    const bench = await new WatchBench().start();
    for (let partition = 0; partition < 16; partition += 1) bench.log.held.add(partition);

    await expect(sync(bench, [])).rejects.toThrow(StoreUnavailableError);
  });

  it("leaves out a partition whose log fails while it is read", async () => {
    const bench = await new WatchBench({ ringCapacity: 4, pullIntervalMs: 100_000 }).start();
    bench.log.appendMany(0, 50);
    await bench.pass(10);
    const answer = answerSync(
      { hub: bench.hub, clock: bench.clock, maxStalenessMs: MAX_STALENESS_MS },
      { position: new Map([[0, at(0, 0)]]), filter: createTenantFilter(undefined) },
    );
    // The pulls for the heads have started; the page has not been asked for yet.
    bench.log.broken.add(0);
    await bench.pass(500);

    expect(headOf(await answer, 0)).toBeUndefined();
    expect((await answer).heads).toHaveLength(15);
  });

  it("resets at a head read after it asked, though it shares an older read of the log (I4)", async () => {
    const bench = await new WatchBench({ pullIntervalMs: 100_000 }).start();
    bench.log.nudges = false;
    bench.log.appendMany(0, 3);
    const lost = bench.log.head(0);
    bench.log.fork(0, 1);
    const environment = { hub: bench.hub, clock: bench.clock, maxStalenessMs: MAX_STALENESS_MS };
    const request = { position: new Map([[0, lost]]), filter: createTenantFilter(undefined) };
    const first = answerSync(environment, request);
    bench.log.held.add(0);
    await bench.pass(20);
    // The first one's read is under way and has seen the head; then this is committed.
    const committed = bench.log.append(0);
    bench.log.held.clear();
    const second = answerSync(environment, request);
    await bench.pass(20);

    bench.log.releaseHeld();
    await bench.pass(0);

    expect(headOf(await second, 0)).toEqual(committed);
    expect((await second).resets.get("history-forked")).toEqual([committed]);
    expect(headOf(await first, 0)).not.toEqual(committed);
  });

  it("leaves no timer behind", async () => {
    const bench = await new WatchBench().start();

    await sync(bench, []);
    bench.hub.stop();

    expect(bench.clock.timerCount).toBe(0);
  });
});
