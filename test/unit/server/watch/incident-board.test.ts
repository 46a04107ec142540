import { describe, expect, it } from "vitest";

import type { IncidentMode } from "#server/store/incident.js";
import type { PullResult, RevocationLog } from "#server/store/revocation-log.js";
import { IncidentBoard } from "#server/watch/incident-board.js";

import { ManualClock } from "../../../support/manual-clock.js";

const MODE: IncidentMode = {
  maxStalenessMs: 1_000,
  stopCaching: false,
  stopCreating: false,
  leftMs: 60_000,
};

/** A log whose pulls are answered by hand, in any order. */
class Desk {
  readonly clock = new ManualClock();
  readonly board = new IncidentBoard(this.clock, 3_000);
  readonly #pending: ((incident: IncidentMode | undefined) => void)[] = [];
  readonly #log: RevocationLog = this.board.observe({
    onNudge: () => () => undefined,
    pull: (partition) =>
      new Promise<PullResult>((resolve) => {
        const head = { partition, generation: 1, sequence: 0 };
        this.#pending.push((incident) => {
          resolve({ head, verdict: "continue", events: [], through: head, incident });
        });
      }),
  });

  /** Starts a pull and returns what answers it. */
  pull(partition: number): (incident: IncidentMode | undefined) => Promise<void> {
    const pulled = this.#log.pull(partition, undefined, 1);
    const answer = this.#pending.at(-1);
    return async (incident) => {
      answer?.(incident);
      await pulled;
    };
  }

  async tell(partition: number, incident: IncidentMode | undefined): Promise<void> {
    await this.pull(partition)(incident);
  }
}

describe("the incident board", () => {
  it("grants what is configured in quiet times", async () => {
    const desk = new Desk();
    const { board } = desk;
    await desk.tell(0, undefined);

    expect(board.maxStalenessMs).toBe(3_000);
    expect(board.allowsCaching).toBe(true);
    expect(board.creationStoppedForMs).toBe(0);
  });

  it("has a mode by the time that the pull which brought it is answered", async () => {
    const desk = new Desk();

    await desk.tell(3, MODE);

    expect(desk.board.maxStalenessMs).toBe(1_000);
  });

  it("shows the mode that it acts on, and for how long still, while it lasts", async () => {
    const desk = new Desk();
    const { board, clock } = desk;
    const quiet = board.mode;
    await desk.tell(0, { ...MODE, maxStalenessMs: 2_000, leftMs: 30_000 });
    await desk.tell(1, { ...MODE, stopCreating: true });
    clock.advance(10_000);
    const during = board.mode;
    await desk.tell(1, { ...MODE, stopCaching: true });
    const stopped = board.mode;
    clock.advance(60_000);

    expect([quiet, board.mode]).toEqual([undefined, undefined]);
    expect(during).toEqual({ ...MODE, stopCreating: true, leftMs: 50_000 });
    expect(stopped).toEqual({ ...MODE, maxStalenessMs: 0, stopCaching: true });
  });

  it("holds the strictest of all partitions, each wish for itself", async () => {
    const desk = new Desk();
    await desk.tell(0, MODE);
    await desk.tell(1, { ...MODE, maxStalenessMs: 2_000, stopCreating: true, leftMs: 10_000 });

    expect(desk.board.maxStalenessMs).toBe(1_000);
    expect(desk.board.creationStoppedForMs).toBe(10_000);
    await desk.tell(2, { ...MODE, maxStalenessMs: undefined, stopCaching: true });
    expect(desk.board.maxStalenessMs).toBe(0);
    expect(desk.board.allowsCaching).toBe(false);
  });

  it("never grants more than is configured", async () => {
    const desk = new Desk();
    await desk.tell(0, { ...MODE, maxStalenessMs: 10_000 });

    expect(desk.board.maxStalenessMs).toBe(3_000);
  });

  it("ends a mode at its end by its own clock, where no pull comes any more", async () => {
    const desk = new Desk();
    await desk.tell(0, MODE);

    desk.clock.advance(59_999);
    expect(desk.board.maxStalenessMs).toBe(1_000);
    desk.clock.advance(1);
    expect(desk.board.maxStalenessMs).toBe(3_000);
  });

  it("is over in a partition when a pull of it says so", async () => {
    const desk = new Desk();
    await desk.tell(0, MODE);
    await desk.tell(1, MODE);

    await desk.tell(0, undefined);
    expect(desk.board.maxStalenessMs).toBe(1_000);
    await desk.tell(1, undefined);
    expect(desk.board.maxStalenessMs).toBe(3_000);
  });

  it("lets nothing be kept before the first pull: an incident may be running", () => {
    expect(new Desk().board.allowsCaching).toBe(false);
  });

  it("lets nothing be kept once nothing was heard for half a second, counted from a pull's start", async () => {
    const desk = new Desk();
    const slow = desk.pull(0);
    desk.clock.advance(400);
    await slow(undefined);

    desk.clock.advance(100);
    expect(desk.board.allowsCaching).toBe(true);
    desk.clock.advance(1);
    expect(desk.board.allowsCaching).toBe(false);
    await desk.tell(7, undefined);
    expect(desk.board.allowsCaching).toBe(true);
  });

  it("does not believe a pull that began before one that has been answered", async () => {
    const desk = new Desk();
    const older = desk.pull(0);
    const newer = desk.pull(0);

    await newer(MODE);
    await older(undefined);

    expect(desk.board.maxStalenessMs).toBe(1_000);
  });
});
