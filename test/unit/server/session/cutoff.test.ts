import { describe, expect, it } from "vitest";

import { type Cutoff, isUnder, strongerCutoff } from "#server/session/cutoff.js";
import type { Revision } from "#server/session/revision.js";

function at(generation: number, sequence: number): Revision {
  return { partition: 3, generation, sequence };
}

function cutoff(revision: Revision, createdBeforeMs?: number): Cutoff {
  return {
    revision,
    createdBeforeMs,
    end: { reason: "admin", atMs: 0, initiatingEntity: "admin", reasonUser: "" },
  };
}

describe("a cutoff by revision", () => {
  it.each([
    [at(10, 4), true],
    [at(10, 5), false],
    [at(10, 6), false],
    [at(9, 900), true],
    [at(11, 0), false],
  ])("at 10-5 over a session issued at %o is %s: strictly before", (issued, isEnded) => {
    expect(isUnder(cutoff(at(10, 5)), { issued, createdAtMs: 0 })).toBe(isEnded);
  });

  it("is raised by a later one and never lowered by an earlier one", () => {
    const [earlier, later] = [cutoff(at(10, 5)), cutoff(at(11, 0))];

    expect(strongerCutoff(undefined, earlier)).toBe(earlier);
    expect(strongerCutoff(earlier, later)).toBe(later);
    expect(strongerCutoff(later, earlier)).toBe(later);
  });
});

describe("a cutoff by instant", () => {
  it.each([
    [999, true],
    [1_000, false],
    [1_001, false],
  ])("of 1,000 over a session created at %i is %s: strictly before", (createdAtMs, isEnded) => {
    expect(isUnder(cutoff(at(10, 5), 1_000), { issued: at(10, 4), createdAtMs })).toBe(isEnded);
    expect(isUnder(cutoff(at(10, 5), 1_000), { issued: at(99, 0), createdAtMs })).toBe(isEnded);
  });

  it("keeps the later instant, whichever came last", () => {
    const [later, earlier] = [cutoff(at(10, 5), 2_000), cutoff(at(10, 6), 1_000)];

    expect(strongerCutoff(later, earlier)).toBe(later);
    expect(strongerCutoff(earlier, later)).toBe(later);
  });
});
