import { compareRevisions, type Revision } from "#server/session/revision.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { StrictReader } from "./apply-stream.js";
import { FIRST_GENERATION, ScriptedLog } from "./scripted-log.js";
import { WatchBench } from "./watch-bench.js";

type Command =
  | { readonly kind: "append"; readonly partition: number; readonly count: number }
  | { readonly kind: "fork"; readonly partition: number; readonly lost: number }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "hold"; readonly partition: number }
  | { readonly kind: "release" }
  | { readonly kind: "break"; readonly partition: number }
  | { readonly kind: "mend" }
  | { readonly kind: "nudges"; readonly on: boolean }
  | { readonly kind: "open"; readonly back: number; readonly reading: boolean }
  | { readonly kind: "take" };

const partition = fc.integer({ min: 0, max: 2 });
const always: fc.Arbitrary<Command>[] = [
  fc.record({
    kind: fc.constant("append" as const),
    partition,
    count: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 150 }) }),
  fc.record({ kind: fc.constant("hold" as const), partition }),
  fc.constant({ kind: "release" as const }),
  fc.record({ kind: fc.constant("break" as const), partition }),
  fc.constant({ kind: "mend" as const }),
  fc.record({ kind: fc.constant("nudges" as const), on: fc.boolean() }),
  fc.record({
    kind: fc.constant("open" as const),
    back: fc.integer({ min: -3, max: 60 }),
    reading: fc.boolean(),
  }),
  fc.constant({ kind: "take" as const }),
];
const forks: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant("fork" as const),
  partition,
  lost: fc.integer({ min: 0, max: 5 }),
});

interface Opened {
  readonly sink: Awaited<ReturnType<WatchBench["open"]>>;
  readonly from: ReadonlyMap<number, Revision>;
}

/** Plays the commands, heals everything, and gives every stream time to catch up. */
async function play(
  commands: readonly Command[],
  log: ScriptedLog,
): Promise<{ readonly bench: WatchBench; readonly streams: readonly Opened[] }> {
  const bench = await new WatchBench({ ringCapacity: 32 }, log).start();
  const streams: Opened[] = [];
  for (const command of commands) await step(command, bench, streams);
  log.broken.clear();
  log.releaseHeld();
  log.nudges = true;
  for (const { sink } of streams) sink.reading = true;
  for (let turn = 0; turn < 20; turn += 1) {
    for (const { sink } of streams) sink.take();
    await bench.pass(100);
  }
  return { bench, streams };
}

async function step(command: Command, bench: WatchBench, streams: Opened[]): Promise<void> {
  const { log } = bench;
  switch (command.kind) {
    case "append":
      log.appendMany(command.partition, command.count);
      return;
    case "fork":
      log.fork(command.partition, command.lost);
      return;
    case "pass":
      await bench.pass(command.ms);
      return;
    case "hold":
      log.held.add(command.partition);
      return;
    case "release":
      log.releaseHeld();
      return;
    case "break":
      log.broken.add(command.partition);
      return;
    case "mend":
      log.broken.clear();
      return;
    case "nudges":
      log.nudges = command.on;
      return;
    case "open": {
      const position = [0, 1, 2].map((at) => {
        const head = log.head(at);
        return { ...head, sequence: Math.max(0, head.sequence - command.back) };
      });
      const sink = await bench.open({ position, reading: command.reading });
      streams.push({
        sink,
        from: new Map(position.map((at) => [at.partition, at])),
      });
      return;
    }
    case "take":
      for (const { sink } of streams) sink.take();
  }
}

/** A read of the log failed, and what it wanted came from another watcher's: the alarm spun. */
const SPUN_ONCE: Command[] = [
  { kind: "append", partition: 1, count: 33 },
  { kind: "open", back: 33, reading: false },
  { kind: "open", back: 33, reading: false },
  { kind: "take" },
  { kind: "break", partition: 1 },
  { kind: "release" },
];

describe("the seam of Opened, backlog and live", () => {
  it("neither loses nor repeats an event under any interleaving (R3, I5–I8)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(...always), { minLength: 1, maxLength: 40 }),
        async (commands) => {
          const { bench, streams } = await play(commands, new ScriptedLog());

          for (const { sink, from } of streams) {
            if (sink.isReleased) {
              // Cut for not reading, or ahead for L; what it was told must still be whole.
              new StrictReader().readAll(sink.messages);
              continue;
            }
            const reader = new StrictReader().readAll(sink.messages);
            expect(reader.resets).toEqual([]);
            let expected = 0;
            for (const at of [0, 1, 2]) {
              const { sequence } = bench.log.head(at);
              const start = from.get(at)?.sequence ?? 0;
              // Still ahead of the log: that partition alone is left out.
              const told = start > sequence ? undefined : BigInt(sequence);
              expect(reader.applied.get(at)?.sequence).toBe(told);
              expected += Math.max(0, sequence - start);
            }
            expect(reader.events).toHaveLength(expected);
          }
          bench.watchers.close();
          bench.hub.stop();
          await bench.pass(0);
          expect(bench.clock.timerCount).toBe(0);
        },
      ),
      { numRuns: 150, examples: [[SPUN_ONCE]] },
    );
  }, 30_000);

  it("has no silent gap where history forks and the log is trimmed (I6)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(...always, forks), { minLength: 1, maxLength: 40 }),
        async (commands) => {
          const { bench, streams } = await play(commands, new ScriptedLog(50));

          for (const { sink, from } of streams) {
            const reader = new StrictReader().readAll(sink.messages);
            if (sink.isReleased) continue;
            for (const at of [0, 1, 2]) {
              const head = bench.log.head(at);
              const applied = reader.applied.get(at);
              const start = from.get(at);
              if (start !== undefined && compareRevisions(start, head) > 0) {
                expect(applied).toBeUndefined();
                continue;
              }
              expect(applied?.generation).toBe(BigInt(head.generation));
              expect(applied?.sequence).toBe(BigInt(head.sequence));
            }
          }
          bench.watchers.close();
          bench.hub.stop();
        },
      ),
      { numRuns: 150 },
    );
  }, 30_000);

  it("begins every partition in the generation the log begins with", async () => {
    const { bench } = await play([{ kind: "pass", ms: 1 }], new ScriptedLog());

    expect(bench.hub.heads().every(({ generation }) => generation === FIRST_GENERATION)).toBe(true);
    bench.hub.stop();
  });
});
