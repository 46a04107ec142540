import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { World, type Delays, type Step, type Tally } from "./support/world.js";

/** Enough to kill every mutant of the reducer's guards, few enough for every run. */
const SCHEDULES = Number(process.env["COATCHECK_TEST_SCHEDULES"] ?? 10_000);
const SEED = Number(process.env["COATCHECK_TEST_SEED"] ?? Date.now() % 2 ** 31);

const who = fc.nat({ max: 7 });
const partition = fc.nat({ max: 1 });

/** Mostly short, sometimes longer than anything may be. */
const delayMs = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 50 }) },
  { weight: 3, arbitrary: fc.integer({ min: 50, max: 1_500 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1_500, max: 6_000 }) },
);

const delays: { [K in keyof Delays]: fc.Arbitrary<Delays[K]> } = {
  thereMs: delayMs,
  backMs: delayMs,
  isLost: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
};

function step<K extends Step["kind"]>(
  kind: K,
  fields: Record<Exclude<keyof Extract<Step, { kind: K }>, "kind">, fc.Arbitrary<unknown>>,
): fc.Arbitrary<Step> {
  return fc.record({ kind: fc.constant(kind), ...fields }) as fc.Arbitrary<Step>;
}

const steps = fc.array(
  fc.oneof(
    { weight: 14, arbitrary: step("tick", { ms: fc.integer({ min: 1, max: 900 }) }) },
    { weight: 1, arbitrary: step("suspend", { ms: fc.integer({ min: 100, max: 8_000 }) }) },
    { weight: 1, arbitrary: step("step-wall", { ms: fc.integer({ min: -9_000, max: 9_000 }) }) },
    { weight: 3, arbitrary: step("create", { who }) },
    { weight: 3, arbitrary: step("revoke", { who }) },
    { weight: 2, arbitrary: step("change", { who }) },
    { weight: 2, arbitrary: step("revoke-subject", { who, isExcepted: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: step("revoke-tenant", {
        partition,
        agoMs: fc.option(fc.integer({ min: 0, max: 4_000 }), { nil: undefined }),
      }),
    },
    { weight: 1, arbitrary: step("reassert", { partition }) },
    { weight: 1, arbitrary: step("trim", { partition }) },
    { weight: 1, arbitrary: step("fork", { partition, lost: fc.nat({ max: 2 }) }) },
    { weight: 12, arbitrary: step("validate", { who, ...delays }) },
    { weight: 8, arbitrary: step("sync", { missing: fc.boolean(), ...delays }) },
    { weight: 2, arbitrary: step("open", delays) },
    { weight: 1, arbitrary: step("cut", {}) },
    { weight: 6, arbitrary: step("push", delays) },
    { weight: 2, arbitrary: step("own-revoke", { who, ...delays }) },
    { weight: 2, arbitrary: step("own-change", { who, isQuiet: fc.boolean(), ...delays }) },
  ),
  { minLength: 15, maxLength: 70, size: "max" },
);

const options = fc.record({
  isTiny: fc.boolean(),
  lie: fc.constantFrom("suspend" as const, "step" as const),
});

describe("the promise", () => {
  it("holds under every schedule: I1, I2, I3, I4, I10, I12", () => {
    const total: Tally = { hits: 0, directAccepts: 0, denials: 0, renewals: 0, resets: 0 };

    fc.assert(
      fc.property(options, steps, (given, schedule) => {
        const world = new World(given);
        // Something to lose: without a session and a position most schedules would prove nothing.
        const soon = { thereMs: 0, backMs: 0, isLost: false };
        world.do({ kind: "create", who: 0 });
        world.do({ kind: "create", who: 1 });
        world.do({ kind: "open", ...soon });
        world.do({ kind: "tick", ms: 1 });
        for (const one of schedule) world.do(one);
        for (const key of Object.keys(total) as (keyof Tally)[]) total[key] += world.tally[key];
      }),
      { numRuns: SCHEDULES, seed: SEED },
    );

    process.stdout.write(`seed ${SEED}, ${SCHEDULES} schedules: ${JSON.stringify(total)}\n`);
    // The world is not empty: all of this happened.
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(SCHEDULES);
  }, 60_000);
});
