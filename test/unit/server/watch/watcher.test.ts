import type { Revision } from "#server/session/revision.js";
import { TooManyWatchersError, WatchDrainingError } from "#server/watch/watch-error.js";
import { createTenantFilter } from "#server/watch/tenant-filter.js";
import { ResetReason } from "@coatcheck/proto";
import { describe, expect, it } from "vitest";

import { StrictReader } from "./apply-stream.js";
import { FIRST_GENERATION, ScriptedLog } from "./scripted-log.js";
import { MAX_STALENESS_MS, ScriptedSink, WatchBench } from "./watch-bench.js";

function at(partition: number, sequence: number, generation = FIRST_GENERATION): Revision {
  return { partition, generation, sequence };
}

function read(sink: ScriptedSink): StrictReader {
  return new StrictReader().readAll(sink.messages);
}

describe("Watcher", () => {
  it("says Opened first, at the head of every partition, and replays nothing", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(2, 5);

    const sink = await bench.open();

    const [first] = sink.messages;
    expect(first?.body?.$case).toBe("opened");
    if (first?.body?.$case !== "opened") return;
    expect(first.body.value.position).toHaveLength(16);
    expect(first.body.value.position[2]?.sequence).toBe(5n);
    expect(first.body.value.deploymentId).toBe("deployment");
    expect(first.body.value.maxStaleness?.seconds).toBe(3n);
    expect(sink.events()).toEqual([]);
  });

  it("resumes at a named position without a reset and without repeating (I8)", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(2, 5);
    await bench.pass(10);

    const sink = await bench.open({ position: [at(2, 3)] });

    const reader = read(sink);
    expect(reader.events).toEqual(["e4", "e5"]);
    expect(reader.resets).toEqual([]);
  });

  it.each([
    ["at the first event that is left", 2, []],
    ["one before it", 1, [{ partition: 0, reason: ResetReason.TOO_OLD }]],
  ])("resumes or resets %s (FAULTS row 14)", async (_, sequence, resets) => {
    const log = new ScriptedLog(10);
    log.appendMany(0, 12);
    const bench = await new WatchBench({}, log).start();

    const sink = await bench.open({ position: [at(0, sequence)] });

    expect(read(sink).resets).toEqual(resets);
    expect(sink.events()).toHaveLength(resets.length === 0 ? 10 : 0);
  });

  it("leaves out a partition where the client is ahead, and joins when it has caught up", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open({ position: [at(4, 2)] });
    const [opened] = sink.messages;
    expect(opened?.body?.$case === "opened" ? opened.body.value.position : []).toHaveLength(15);

    bench.log.appendMany(4, 3);
    await bench.pass(10);

    expect(sink.eventIds()).toEqual(["e3"]);
    expect(read(sink).applied.get(4)?.sequence).toBe(3n);
  });

  it("ends with the cause behind when the client is ahead for L", async () => {
    const bench = await new WatchBench().start();
    await bench.open({ position: [at(4, 0, FIRST_GENERATION + 5)] });

    await bench.pass(MAX_STALENESS_MS - 26);
    expect(bench.ends).toEqual([]);
    await bench.pass(26);

    expect(bench.ends).toEqual(["behind"]);
  });

  it("stays open where a partition is silent, and tells of it when it answers (FAULTS row 17)", async () => {
    const bench = new WatchBench();
    bench.log.held.add(8);
    await bench.start();
    const sink = await bench.open();
    await bench.pass(1000);
    expect(read(sink).applied.has(8)).toBe(false);
    bench.log.append(3);
    await bench.pass(10);
    expect(sink.events()).toHaveLength(1);

    bench.log.releaseHeld();
    await bench.pass(10);

    expect(read(sink).applied.get(8)?.sequence).toBe(0n);
    expect(bench.ends).toEqual([]);
  });

  it("does not open where no partition answers", async () => {
    const bench = new WatchBench();
    for (let partition = 0; partition < 16; partition += 1) bench.log.broken.add(partition);
    await bench.start();
    const refusal = bench.watchers.serve(
      {
        identity: { clientName: "", instanceId: "", sdkVersion: "" },
        filter: createTenantFilter(undefined),
        position: new Map(),
        deploymentId: "deployment",
      },
      new ScriptedSink(),
    );
    const expectation = expect(refusal).rejects.toThrow("no partition answers");

    await bench.pass(500);

    await expectation;
    expect(bench.watchers.size).toBe(0);
  });

  it("sends events beyond the ring from the log, then goes on live (I6)", async () => {
    const bench = await new WatchBench({ ringCapacity: 16 }).start();
    bench.log.appendMany(1, 1000);
    await bench.pass(10);

    const sink = await bench.open({ position: [at(1, 0)] });
    bench.log.appendMany(1, 5);
    await bench.pass(10);

    expect(read(sink).events).toEqual(Array.from({ length: 1005 }, (_, index) => `e${index + 1}`));
  });

  it("resets a watcher whose events were trimmed while it caught up (FAULTS row 15)", async () => {
    const bench = await new WatchBench({ ringCapacity: 16 }, new ScriptedLog(100)).start();
    const sink = await bench.open({ reading: false });
    bench.log.appendMany(1, 50);
    await bench.pass(10);
    bench.log.appendMany(1, 500);
    await bench.pass(10);

    sink.reading = true;
    sink.take();
    await bench.pass(10);

    const reader = read(sink);
    expect(reader.resets).toEqual([{ partition: 1, reason: ResetReason.TOO_OLD }]);
    expect(reader.applied.get(1)?.sequence).toBe(550n);
  });

  it("carries on into a new generation where nothing it was told was lost", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();
    bench.log.appendMany(1, 3);
    await bench.pass(10);
    bench.log.fork(1, 0);
    bench.log.append(1);
    await bench.pass(110);

    const reader = read(sink);
    expect(reader.resets).toEqual([]);
    expect(reader.events).toEqual(["e1", "e2", "e3", "e4"]);
    expect(reader.applied.get(1)?.generation).toBe(BigInt(FIRST_GENERATION + 1_000_000));
  });

  it("resets a watcher that was told of events that are lost", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();
    bench.log.appendMany(1, 3);
    await bench.pass(10);
    bench.log.fork(1, 1);
    bench.log.append(1);
    await bench.pass(110);

    const reader = read(sink);
    expect(reader.resets).toEqual([{ partition: 1, reason: ResetReason.HISTORY_FORKED }]);
    expect(reader.applied.get(1)?.sequence).toBe(1n);
  });

  it("says Reset before anything else about its partition, however busy the others are", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(0, 3);
    await bench.pass(10);
    const sink = await bench.open({ reading: false });
    sink.take();
    bench.log.fork(0, 1);
    bench.log.appendMany(1, 2000);
    await bench.pass(110);

    // The reset is found while a batch of the other partition goes out, and by the time that is
    // taken the next Progress is due.
    for (const waitMs of [1, 1, 800, 800, 800, 800, 1, 1, 1, 1, 1, 1]) {
      await bench.pass(waitMs);
      sink.take();
      await bench.pass(1);
    }

    const reader = read(sink);
    expect(reader.resets).toEqual([{ partition: 0, reason: ResetReason.HISTORY_FORKED }]);
    expect(sink.kinds()).toContain("progress");
  });

  it("tells of every partition at least every L/3, idle ones too (FAULTS row 16)", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();
    const before = sink.messages.length;

    await bench.pass(MAX_STALENESS_MS);

    const progress = sink.messages
      .slice(before)
      .flatMap(({ body }) => (body?.$case === "progress" ? [body.value] : []));
    expect(progress.length).toBeGreaterThanOrEqual(3);
    expect(progress.every(({ ranges }) => ranges.length === 16)).toBe(true);
  });

  it("tells of progress in time while one partition never rests", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();

    for (let ms = 0; ms < 1000; ms += 5) {
      bench.log.append(0);
      await bench.pass(5);
    }

    expect(sink.kinds().filter((kind) => kind === "progress")).not.toHaveLength(0);
    expect(read(sink).events).toHaveLength(200);
  });

  it("keeps a watcher of one tenant current however busy the others are", async () => {
    const bench = await new WatchBench({ ringCapacity: 64 }).start();
    const sink = await bench.open({ tenants: ["quiet"] });

    bench.log.appendMany(3, 900, { tenantId: "busy" });
    bench.log.append(3, { tenantId: "quiet", sessionId: "mine" });
    bench.log.appendMany(3, 300, { tenantId: "busy" });
    await bench.pass(1000);

    const reader = read(sink);
    expect(reader.events).toEqual(["e901"]);
    expect(reader.applied.get(3)?.sequence).toBe(1201n);
    expect(reader.resets).toEqual([]);
  });

  it("never filters an event that concerns every tenant", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open({ tenants: ["quiet"] });

    bench.log.append(3, { all: true });
    bench.log.append(3, { tenantId: "other" });
    await bench.pass(10);

    expect(sink.events().map(({ target }) => target?.$case)).toEqual(["all"]);
  });

  it("puts at most 256 events and 32 KB in a message, but for a larger event alone", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();

    bench.log.appendMany(1, 600);
    bench.log.appendMany(2, 40, { padding: 2000 });
    bench.log.append(2, { padding: 40_000 });
    await bench.pass(20);

    const batches = sink.messages.flatMap(({ body }, index) =>
      body?.$case === "batch"
        ? [{ events: body.value.events.length, size: sink.sizes[index] }]
        : [],
    );
    expect(batches.every(({ events }) => events <= 256)).toBe(true);
    // 32 KB of events, and a range.
    const large = batches.filter(({ size = 0 }) => size > 32 * 1024 + 64);
    expect(large.map(({ events }) => events)).toEqual([1]);
    expect(read(sink).events).toHaveLength(641);
  });

  it("serves partitions in turns, so that a busy one does not hold up the others", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open({ reading: false });
    sink.take();
    await bench.pass(0);
    bench.log.appendMany(0, 3000);
    bench.log.append(9, { sessionId: "urgent" });
    await bench.pass(10);

    for (let step = 0; step < 3; step += 1) {
      sink.take();
      await bench.pass(0);
    }

    expect(sink.events().some(({ revision }) => revision?.partition === 9)).toBe(true);
  });
});

describe("a watcher that does not read", () => {
  it("has one message under way and nothing else kept for it (I16)", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open({ reading: false });
    await bench.pass(0);

    bench.log.appendMany(1, 50_000);
    await bench.pass(1000);

    expect(sink.writesPendingMax).toBe(1);
    expect(sink.messages).toHaveLength(1);
    expect(bench.hub.counters.framesAssembled).toBe(0);
  });

  it("is cut after L, and no other watcher notices (FAULTS row 11)", async () => {
    const bench = await new WatchBench().start();
    const reader = await bench.open();
    const stuck = await bench.open({ reading: false });
    bench.log.append(1);

    await bench.pass(MAX_STALENESS_MS - 30);
    expect(bench.ends).toEqual([]);
    await bench.pass(30);

    expect(bench.ends).toEqual(["too-slow"]);
    expect(stuck.isReleased).toBe(true);
    bench.log.append(1);
    await bench.pass(10);
    expect(read(reader).events).toHaveLength(2);
    expect(bench.watchers.counters.closed["too-slow"]).toBe(1);
  });

  it("is not cut while it takes a message now and then", async () => {
    const bench = await new WatchBench({}, new ScriptedLog(500)).start();
    const sink = await bench.open({ reading: false });

    for (let turn = 0; turn < 10; turn += 1) {
      bench.log.appendMany(1, 400);
      await bench.pass(MAX_STALENESS_MS - 100);
      sink.take();
      await bench.pass(1);
    }

    expect(bench.ends).toEqual([]);
    read(sink);
  });

  it("is shown as lagging, and a reading one as live", async () => {
    const bench = await new WatchBench().start();
    await bench.open();
    await bench.open({ reading: false });

    expect(bench.watchers.list().map(({ state }) => state.state)).toEqual(["live", "lagging"]);
  });
});

describe("a watcher behind the ring", () => {
  it("waits for the store as long as that takes, and serves the other partitions", async () => {
    const bench = await new WatchBench({ ringCapacity: 16 }).start();
    bench.log.appendMany(1, 100);
    await bench.pass(10);
    const sink = new ScriptedSink();
    bench.serve(sink, { position: [at(1, 0)] });
    bench.log.held.add(1);
    await bench.pass(600);
    bench.log.append(2, { sessionId: "other" });
    await bench.pass(10);
    expect(sink.eventIds()).toEqual(["e101"]);
    expect(bench.watchers.list()[0]?.state.state).toBe("catching-up");

    bench.log.releaseHeld();
    await bench.pass(10);

    expect(read(sink).events).toHaveLength(101);
    expect(bench.ends).toEqual([]);
  });

  it("asks a failing store ten times a second and not more", async () => {
    const bench = await new WatchBench({ ringCapacity: 16, pullIntervalMs: 100_000 }).start();
    bench.log.appendMany(1, 100);
    await bench.pass(10);
    const sink = new ScriptedSink();
    bench.serve(sink, { position: [at(1, 0)] });
    await bench.pass(0);
    bench.log.broken.add(1);
    const before = bench.log.pullsOf(1);

    await bench.pass(1000);

    expect(bench.log.pullsOf(1) - before).toBeLessThanOrEqual(11);
    bench.log.broken.clear();
    await bench.pass(100);
    expect(read(sink).events).toHaveLength(100);
  });

  it("shares its reads of the log with others at the same place", async () => {
    const bench = await new WatchBench({ ringCapacity: 16 }).start();
    bench.log.appendMany(1, 256);
    await bench.pass(10);
    const before = bench.encoded.events;

    const sinks = await Promise.all(
      Array.from({ length: 50 }, async () => await bench.open({ position: [at(1, 0)] })),
    );

    expect(sinks.every((sink) => sink.events().length === 256)).toBe(true);
    expect(bench.encoded.events - before).toBe(256);
  });
});

describe("WatcherRegistry", () => {
  it("refuses one watcher more than it may hold, and admits again when one has gone", async () => {
    const bench = await new WatchBench({ watchersMax: 2 }).start();
    const first = await bench.open();
    await bench.open();

    expect(() => {
      bench.watchers.admit();
    }).toThrow(TooManyWatchersError);
    first.release();
    bench.log.append(0);
    await bench.pass(10);

    bench.watchers.admit();
    expect(bench.watchers.size).toBe(1);
  });

  it("asks all watchers to reconnect, serves them meanwhile, then ends them (S: drain)", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();
    const drained = bench.watchers.drain(2000);
    await bench.pass(0);
    expect(sink.kinds().at(-1)).toBe("goaway");
    bench.log.append(1);
    await bench.pass(1999);
    expect(sink.events()).toHaveLength(1);
    expect(bench.ends).toEqual([]);

    await bench.pass(1);
    await drained;

    expect(bench.ends).toEqual(["drained"]);
    expect(() => {
      bench.watchers.admit();
    }).toThrow(WatchDrainingError);
  });

  it("resolves a drain at once where nobody watches", async () => {
    const bench = await new WatchBench().start();

    await expect(bench.watchers.drain(2000)).resolves.toBeUndefined();
  });

  it("asks a stream to reconnect at its age, at different ages for streams opened together", async () => {
    const bench = await new WatchBench({ watchAgeMaxMs: 100_000 }).start();
    const sinks = await Promise.all(Array.from({ length: 20 }, async () => await bench.open()));

    await bench.pass(95_000);
    const aged = sinks.filter((sink) => sink.kinds().includes("goaway")).length;
    await bench.pass(11_000);

    expect(aged).toBeGreaterThan(4);
    expect(aged).toBeLessThan(16);
    expect(bench.ends).toEqual(new Array<string>(20).fill("drained"));
  });

  it("asks a young stream to reconnect when its connection takes no more, within a quarter of L", async () => {
    const bench = await new WatchBench({ reconnectWithinMs: 2000 }).start();
    const sink = await bench.open();

    sink.isRetiring = true;
    await bench.pass(MAX_STALENESS_MS / 4);
    expect(sink.kinds()).toContain("goaway");
    bench.log.append(1);
    await bench.pass(1000);
    expect(sink.events()).toHaveLength(1);
    expect(bench.ends).toEqual([]);
    await bench.pass(1000);

    expect(sink.kinds().filter((kind) => kind === "goaway")).toHaveLength(1);
    expect(bench.ends).toEqual(["drained"]);
  });

  it("lists who watches, where they are and how far behind", async () => {
    const bench = await new WatchBench().start();
    await bench.open({ reading: false });
    bench.log.appendMany(1, 7);
    await bench.pass(10);

    const [summary] = bench.watchers.list();

    expect(summary?.identity).toEqual({ clientName: "test", instanceId: "1", sdkVersion: "0" });
    expect(summary?.position).toHaveLength(16);
    expect(summary?.lagEvents).toBe(7);
  });

  it("leaves no watcher, listener or timer behind when streams end", async () => {
    const bench = await new WatchBench().start();
    const sinks = await Promise.all(
      Array.from(
        { length: 50 },
        async (_, index) => await bench.open({ reading: index % 2 === 0 }),
      ),
    );

    for (const sink of sinks) sink.release();
    bench.watchers.close();
    await bench.pass(0);

    expect(bench.watchers.size).toBe(0);
    expect(bench.hub.listenerCount).toBe(0);
    bench.hub.stop();
    expect(bench.clock.timerCount).toBe(0);
  });
});
