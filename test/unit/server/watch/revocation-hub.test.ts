import { describe, expect, it } from "vitest";

import { FIRST_GENERATION, ScriptedLog } from "./scripted-log.js";
import { WatchBench } from "./watch-bench.js";

describe("RevocationHub", () => {
  it("pulls every partition at start and on every timer, nudged or not", async () => {
    const bench = await new WatchBench().start();
    expect(bench.log.pulls).toHaveLength(16);

    await bench.pass(99);
    expect(bench.log.pulls).toHaveLength(16);
    await bench.pass(1);

    expect(bench.log.pulls).toHaveLength(32);
  });

  it("hears of an event within the pull interval when every nudge is lost (FAULTS row 21)", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();
    bench.log.nudges = false;

    bench.log.append(4, { sessionId: "a" });
    await bench.pass(100);

    expect(sink.events()).toHaveLength(1);
  });

  it("has one pull of a partition in flight, however many nudges arrive", async () => {
    const bench = await new WatchBench().start();
    bench.log.held.add(2);
    bench.log.appendMany(2, 50);
    await bench.pass(0);
    const before = bench.log.pullsOf(2);
    expect(before).toBe(2);

    bench.log.releaseHeld();
    await bench.pass(0);

    expect(bench.log.pullsOf(2)).toBe(before + 1);
    expect(bench.hub.heads()[2]?.sequence).toBe(50);
  });

  it("answers a sync only with a head read after it asked (I4)", async () => {
    const bench = await new WatchBench().start();
    bench.log.nudges = false;
    bench.log.held.add(5);
    await bench.pass(100);
    // The pull in flight has read the head already; this event is not in it.
    bench.log.append(5);
    const heads = bench.hub.headsAfterNow(500);

    bench.log.releaseHeld();
    await bench.pass(20);

    expect((await heads).get(5)?.sequence).toBe(1);
  });

  it("answers a sync with a pull of its own where another sync's is under way (I4)", async () => {
    const bench = await new WatchBench({ pullIntervalMs: 100_000 }).start();
    bench.log.nudges = false;
    bench.log.held.add(5);
    const first = bench.hub.headsAfterNow(500);
    bench.log.append(5);
    const second = bench.hub.headsAfterNow(500);

    bench.log.releaseHeld();
    await bench.pass(40);

    expect((await first).get(5)?.sequence).toBe(0);
    expect((await second).get(5)?.sequence).toBe(1);
  });

  it("shares one pull among the syncs that wait for it", async () => {
    const bench = await new WatchBench().start();
    const before = bench.log.pulls.length;

    const answers = Promise.all(
      Array.from({ length: 100 }, async () => await bench.hub.headsAfterNow(500)),
    );
    await bench.pass(20);

    expect((await answers).every((heads) => heads.size === 16)).toBe(true);
    // The first asker starts one, all others share the next.
    expect(bench.log.pulls.length - before).toBe(32);
  });

  it("starts at most one pull in 20 ms for syncs", async () => {
    const bench = await new WatchBench({ pullIntervalMs: 100_000 }).start();
    const before = bench.log.pullsOf(0);

    for (let ms = 0; ms < 200; ms += 1) {
      bench.hub.headsAfterNow(500).catch(() => undefined);
      await bench.pass(1);
    }

    expect(bench.log.pullsOf(0) - before).toBeLessThanOrEqual(11);
  });

  it("leaves a silent partition out and answers with the others (FAULTS row 17)", async () => {
    const bench = await new WatchBench().start();
    bench.log.held.add(9);
    const heads = bench.hub.headsAfterNow(500);

    await bench.pass(500);

    expect([...(await heads).keys()]).not.toContain(9);
    expect((await heads).size).toBe(15);
  });

  it("leaves a partition out whose pull fails", async () => {
    const bench = await new WatchBench().start();
    bench.log.broken.add(1);
    const heads = bench.hub.headsAfterNow(500);

    await bench.pass(0);

    expect((await heads).has(1)).toBe(false);
    expect((await heads).size).toBe(15);
  });

  it("waits for the timer after a pull that failed, whatever was wanted meanwhile", async () => {
    const bench = await new WatchBench().start();
    bench.log.held.add(2);
    bench.log.append(2);
    bench.log.append(2);
    bench.log.broken.add(2);
    const before = bench.log.pullsOf(2);

    bench.log.releaseHeld();
    await bench.pass(99);
    expect(bench.log.pullsOf(2)).toBe(before);
    bench.log.broken.clear();
    await bench.pass(1);

    expect(bench.hub.heads()[2]?.sequence).toBe(2);
  });

  it("tells how old the last successful pull of each partition is", async () => {
    const bench = new WatchBench();
    expect(bench.hub.readiness()).toEqual(new Array<number>(16).fill(Infinity));
    bench.log.broken.add(3);
    await bench.start();

    await bench.pass(1000);

    expect(bench.hub.readiness()[3]).toBe(Infinity);
    expect(bench.hub.readiness()[4]).toBe(0);
  });

  it("gives up on a pull that is silent for L and follows again when the store is back", async () => {
    const bench = await new WatchBench().start();
    bench.log.held.add(6);
    await bench.pass(3200);
    bench.log.held.clear();
    bench.log.append(6);

    await bench.pass(3200);

    expect(bench.hub.readiness()[6]).toBeLessThanOrEqual(100);
    expect(bench.hub.heads().find(({ partition }) => partition === 6)?.sequence).toBe(1);
  });

  it("reads on until it has the head where one pull is cut short", async () => {
    const bench = await new WatchBench().start();
    bench.log.nudges = false;
    bench.log.appendMany(7, 3500);

    await bench.pass(100);

    expect(bench.hub.tails[7]?.ring?.head.sequence).toBe(3500);
  });

  it("starts its ring again in a new generation", async () => {
    const bench = await new WatchBench().start();
    bench.log.appendMany(7, 10);
    await bench.pass(0);
    bench.log.fork(7, 3);

    await bench.pass(100);

    expect(bench.hub.tails[7]?.ring?.head).toEqual({
      partition: 7,
      generation: FIRST_GENERATION + 1_000_000,
      sequence: 0,
    });
    expect(bench.hub.counters.restarts).toBe(1);
  });

  it("publishes the first event at once and the next ones together within 5 ms", async () => {
    const bench = await new WatchBench().start();
    const sink = await bench.open();
    await bench.pass(10);

    bench.log.append(1);
    await bench.pass(0);
    expect(sink.events()).toHaveLength(1);
    bench.log.append(1);
    bench.log.append(1);
    await bench.pass(4);
    expect(sink.events()).toHaveLength(1);
    await bench.pass(1);

    expect(sink.events()).toHaveLength(3);
    expect(sink.kinds().filter((kind) => kind === "batch")).toHaveLength(2);
  });

  it("encodes an event once and assembles a frame once for 1,000 watchers", async () => {
    const bench = await new WatchBench().start();
    const sinks = await Promise.all(Array.from({ length: 1000 }, async () => await bench.open()));
    await bench.pass(10);

    bench.log.appendMany(3, 600);
    await bench.pass(10);

    expect(sinks.every((sink) => sink.events().length === 600)).toBe(true);
    expect(bench.encoded.events).toBe(600);
    const frames = sinks[0]?.kinds().filter((kind) => kind === "batch").length;
    expect(bench.encoded.batches).toBe(frames);
    expect(bench.hub.counters.framesAssembled).toBe(frames);
  }, 30_000);

  it("holds no timer, no listener and no waiting sync after it stops", async () => {
    const bench = await new WatchBench().start();
    bench.log.held.add(1);
    const heads = bench.hub.headsAfterNow(500);

    bench.hub.stop();
    await bench.pass(500);

    expect((await heads).has(1)).toBe(false);
    expect(bench.clock.timerCount).toBe(0);
    expect(bench.log.listenerCount).toBe(0);
  });
});

describe("ScriptedLog", () => {
  it("answers with what was there when the pull started", async () => {
    const log = new ScriptedLog();
    log.held.add(0);
    const pull = log.pull(0, undefined, 10);
    log.append(0);

    log.releaseHeld();

    expect((await pull).head.sequence).toBe(0);
  });
});
