import { describe, expect, it } from "vitest";

import { ManualClock } from "../../support/manual-clock.js";

describe("ManualClock", () => {
  it("runs due timers in the order of their instants, each at its own", () => {
    const clock = new ManualClock();
    const startMs = clock.monotonicMs();
    const ran: [string, number][] = [];
    clock.setTimer(20, () => ran.push(["later", clock.monotonicMs() - startMs]));
    clock.setTimer(10, () => {
      ran.push(["sooner", clock.monotonicMs() - startMs]);
      clock.setTimer(5, () => ran.push(["set on the way", clock.monotonicMs() - startMs]));
    });
    clock.setTimer(31, () => ran.push(["not due", 0]));

    clock.advance(30);

    expect(ran).toEqual([
      ["sooner", 10],
      ["set on the way", 15],
      ["later", 20],
    ]);
    expect(clock.timerCount).toBe(1);
  });

  it("runs nothing that was cancelled", () => {
    const clock = new ManualClock();
    const timer = clock.setTimer(1, () => expect.unreachable());

    timer.cancel();
    timer.cancel();
    clock.advance(1);

    expect(clock.timerCount).toBe(0);
  });

  it("gives an async loop all the turns that fall into the time", async () => {
    const clock = new ManualClock();
    let turns = 0;
    async function loop(): Promise<void> {
      while (turns < 100) {
        await new Promise<void>((resolve) => clock.setTimer(10, resolve));
        turns += 1;
      }
    }
    const looping = loop();

    await clock.advanceAsync(55);

    expect(turns).toBe(5);
    await clock.advanceAsync(1_000);
    await looping;
  });

  it("steps the wall clock alone", () => {
    const clock = new ManualClock(5_000);

    clock.advance(10);
    clock.stepWall(-2_000);

    expect(clock.wallMs()).toBe(3_010);
    expect(clock.monotonicMs()).toBe(1_010);
  });
});
