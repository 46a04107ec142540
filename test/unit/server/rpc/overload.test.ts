import {
  AdminServiceService,
  RevocationServiceService,
  SessionServiceService,
} from "@coatcheck/proto";
import { describe, expect, it } from "vitest";

import type { Clock } from "#server/base/clock.js";
import { resolveLimits } from "#server/configuration/limits.js";
import { EventLoopDelay } from "#server/rpc/event-loop-delay.js";
import { Overload, type OverloadLimits } from "#server/rpc/overload.js";
import {
  SHEDDING_CLASS_OF,
  SHEDDING_CLASSES,
  type SheddingClass,
} from "#server/rpc/shedding-order.js";
import { RpcError } from "#server/rpc/status.js";

const PATHS = {
  list: "/coatcheck.v1.SessionService/ListSessions",
  create: "/coatcheck.v1.SessionService/CreateSession",
  touch: "/coatcheck.v1.SessionService/TouchSessions",
  validate: "/coatcheck.v1.SessionService/ValidateSession",
  sync: "/coatcheck.v1.RevocationService/SyncRevocations",
  revoke: "/coatcheck.v1.SessionService/RevokeSession",
} as const;
const CLASSES: readonly SheddingClass[] = ["list", "create", "touch", "validate", "sync", "revoke"];

function make(limits: Partial<OverloadLimits> = {}, delayMs: () => number = () => 0): Overload {
  return new Overload(
    { callsInFlightMax: 100, callsPerCallerMax: 0, eventLoopDelayMaxMs: 1000, ...limits },
    delayMs,
  );
}

/** What a call is refused with, undefined where it is admitted; it leaves at once. */
function refusal(overload: Overload, kind: SheddingClass, caller = "probe"): RpcError | undefined {
  try {
    overload.enter(PATHS[kind], caller);
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    return error;
  }
  overload.leave(caller);
  return undefined;
}

function admitted(overload: Overload): readonly SheddingClass[] {
  return CLASSES.filter((kind) => refusal(overload, kind) === undefined);
}

/** Brings the calls in flight to a number, with calls that are shed last. */
function hold(overload: Overload, calls: number, caller = "holder"): void {
  for (let call = 0; call < calls; call += 1) overload.enter(PATHS.revoke, caller);
}

function release(overload: Overload, calls: number, caller = "holder"): void {
  for (let call = 0; call < calls; call += 1) overload.leave(caller);
}

describe("the shedding order", () => {
  it("has a row for every unary method and no other", () => {
    const unary = [
      ...Object.values(SessionServiceService),
      ...Object.values(RevocationServiceService),
      ...Object.values(AdminServiceService),
    ]
      .filter(({ responseStream }) => !responseStream)
      .map(({ path }) => path);

    expect(Object.keys(SHEDDING_CLASS_OF).sort()).toEqual(unary.sort());
  });

  it("puts whatever ends sessions last, and what renews leases before it", () => {
    const last = Object.keys(SHEDDING_CLASS_OF).filter((path) =>
      /Revoke|Incident/.test(path.split("/")[2] ?? ""),
    );

    expect(last.map((path) => SHEDDING_CLASS_OF[path])).toEqual(last.map(() => "revoke"));
    expect(last).toHaveLength(5);
    expect(SHEDDING_CLASS_OF[PATHS.sync]).toBe("sync");
    expect(SHEDDING_CLASSES.slice(-3)).toEqual(["validate", "sync", "revoke"]);
  });
});

describe("a replica with too many calls in flight", () => {
  it.each([
    [49, CLASSES],
    [50, ["create", "touch", "validate", "sync", "revoke"]],
    [59, ["create", "touch", "validate", "sync", "revoke"]],
    [60, ["touch", "validate", "sync", "revoke"]],
    [69, ["touch", "validate", "sync", "revoke"]],
    [70, ["validate", "sync", "revoke"]],
    [84, ["validate", "sync", "revoke"]],
    [85, ["sync", "revoke"]],
    [94, ["sync", "revoke"]],
    [95, ["revoke"]],
    [99, ["revoke"]],
    [100, []],
  ])("with %i of 100 admits %j", (calls, expected) => {
    const overload = make();

    hold(overload, calls);

    expect(admitted(overload)).toEqual(expected);
  });

  it("says OVERLOADED, what was shed and when to come back", () => {
    const overload = make();
    hold(overload, 100);

    const told = refusal(overload, "validate");

    expect(told).toMatchObject({
      reason: "OVERLOADED",
      details: { metadata: { shed: "validate" } },
    });
    expect(told?.details.retryAfterMs).toBeGreaterThanOrEqual(250);
    expect(told?.details.retryAfterMs).toBeLessThan(750);
    expect(overload.counters.shed.get(PATHS.validate.slice(1))).toBe(1);
    expect(overload.counters.shed.get(PATHS.revoke.slice(1))).toBe(0);
  });

  it("serves a class again only well below where it shed it, in the reverse order", () => {
    const overload = make();
    hold(overload, 95);
    const steps: [number, readonly SheddingClass[]][] = [];

    for (let calls = 95; calls >= 0; calls -= 1) {
      const now = admitted(overload);
      if (now.length !== steps.at(-1)?.[1].length) steps.push([calls, now]);
      if (calls > 0) release(overload, 1);
    }

    expect(steps).toEqual([
      [95, ["revoke"]],
      [84, ["sync", "revoke"]],
      [69, ["validate", "sync", "revoke"]],
      [55, ["touch", "validate", "sync", "revoke"]],
      [47, ["create", "touch", "validate", "sync", "revoke"]],
      [39, CLASSES],
    ]);
  });

  it("refuses a revocation for not one call longer than it must", () => {
    const overload = make();
    hold(overload, 100);

    release(overload, 1);

    expect(refusal(overload, "revoke")).toBeUndefined();
  });

  it("is at rest when everything was answered, whoever was refused meanwhile", () => {
    const overload = make({ callsPerCallerMax: 34 });
    hold(overload, 100);
    for (const kind of CLASSES) refusal(overload, kind);

    release(overload, 100);

    expect(overload.shedding).toEqual([]);
    expect(admitted(overload)).toEqual(CLASSES);
  });
});

describe("a replica whose event loop is late", () => {
  it.each([
    [499, CLASSES],
    [500, ["create", "touch", "validate", "sync", "revoke"]],
    [600, ["touch", "validate", "sync", "revoke"]],
    [700, ["validate", "sync", "revoke"]],
    [850, ["sync", "revoke"]],
    [60_000, ["sync", "revoke"]],
  ])("by %i ms of 1000 admits %j", (delayMs, expected) => {
    expect(admitted(make({}, () => delayMs))).toEqual(expected);
  });

  it("sheds nothing where the limit is off", () => {
    expect(admitted(make({ eventLoopDelayMaxMs: 0 }, () => 60_000))).toEqual(CLASSES);
  });
});

describe("a caller with too many calls in flight", () => {
  it("is refused at its limit, and nobody else is", () => {
    const overload = make({ callsPerCallerMax: 3 });
    hold(overload, 2, "greedy");
    expect(refusal(overload, "validate", "greedy")).toBeUndefined();
    hold(overload, 1, "greedy");

    const told = refusal(overload, "validate", "greedy");

    expect(told).toMatchObject({
      reason: "RATE_LIMITED",
      details: { metadata: { limit: "calls_per_caller_max", bound: "3" } },
    });
    expect(told?.details.retryAfterMs).toBeGreaterThan(0);
    expect(refusal(overload, "validate", "modest")).toBeUndefined();
    expect(overload.counters.callerBusy).toBe(1);
  });

  it("may Sync and revoke all the same, up to twice and three times its share", () => {
    const overload = make({ callsPerCallerMax: 3 });
    for (const [calls, expected] of [
      [2, CLASSES],
      [3, ["sync", "revoke"]],
      [5, ["sync", "revoke"]],
      [6, ["revoke"]],
      [8, ["revoke"]],
      [9, []],
    ] as const) {
      hold(overload, calls, "greedy");
      expect(CLASSES.filter((kind) => refusal(overload, kind, "greedy") === undefined)).toEqual(
        expected,
      );
      release(overload, calls, "greedy");
    }
  });

  it("does not have others shed, whatever it floods with, S-39", () => {
    const { callsInFlightMax, callsPerCallerMax, eventLoopDelayMaxMs } = resolveLimits(
      {},
      { hasCallers: true },
    );
    for (const kind of CLASSES) {
      const overload = make({ callsInFlightMax, callsPerCallerMax, eventLoopDelayMaxMs });
      for (let call = 0; call < 10 * callsPerCallerMax; call += 1) {
        try {
          overload.enter(PATHS[kind], "greedy");
        } catch (error) {
          if (!(error instanceof RpcError)) throw error;
        }
      }
      expect(refusal(overload, "validate", "modest"), kind).toBeUndefined();
      expect(refusal(overload, "revoke", "modest"), kind).toBeUndefined();
    }
  });

  it("is served again when one of its calls has its answer", () => {
    const overload = make({ callsPerCallerMax: 3 });
    hold(overload, 3, "greedy");

    release(overload, 1, "greedy");

    expect(refusal(overload, "list", "greedy")).toBeUndefined();
  });
});

describe("the delay of the event loop", () => {
  /** A clock whose timers run as late as the test says. */
  class LateClock implements Clock {
    #nowMs = 0;
    #due: { readonly atMs: number; readonly run: () => void } | undefined;

    monotonicMs(): number {
      return this.#nowMs;
    }

    wallMs(): number {
      return this.#nowMs;
    }

    setTimer(delayMs: number, run: () => void): { cancel: () => void } {
      this.#due = { atMs: this.#nowMs + delayMs, run };
      return { cancel: () => (this.#due = undefined) };
    }

    /** Runs the timers that follow, each so late. */
    run(...latenessMs: readonly number[]): void {
      for (const lateMs of latenessMs) {
        if (this.#due === undefined) return;
        this.#nowMs = this.#due.atMs + lateMs;
        this.#due.run();
      }
    }
  }

  function start(): { clock: LateClock; delay: EventLoopDelay; samples: () => number } {
    const clock = new LateClock();
    let samples = 0;
    const delay = new EventLoopDelay(clock, () => (samples += 1));
    delay.start();
    return { clock, delay, samples: () => samples };
  }

  it("is what every one of the last five timers was late by", () => {
    const { clock, delay } = start();

    clock.run(900, 800, 700, 900);
    expect(delay.standingMs).toBe(0);
    clock.run(900);
    expect(delay.standingMs).toBe(700);
    clock.run(900, 900, 900);
    expect(delay.standingMs).toBe(900);
  });

  it("is not a single pause, however long", () => {
    const { clock, delay } = start();

    clock.run(0, 0, 0, 0, 60_000);

    expect(delay.standingMs).toBe(0);
  });

  it("is gone with the first timer on time", () => {
    const { clock, delay } = start();
    clock.run(900, 900, 900, 900, 900);

    clock.run(1);

    expect(delay.standingMs).toBe(1);
  });

  it("is measured until it is stopped", () => {
    const { clock, delay, samples } = start();
    clock.run(0, 0);

    delay.stop();
    clock.run(0, 0);

    expect(samples()).toBe(2);
  });
});
