import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  findToken,
  RETIRED_TOKENS_MAX,
  succeedAtOnce,
  succeedWithGrace,
  type TokenSlots,
} from "#server/session/token-slots.js";

const fresh: TokenSlots = { current: "t0", previous: undefined, retired: [] };

describe("the tokens of a session", () => {
  it("know their current one and no other", () => {
    expect(findToken(fresh, "t0", 0)).toEqual({ kind: "current" });
    expect(findToken(fresh, "guess", 0)).toEqual({ kind: "unknown" });
  });

  it.each([
    [29_999, { kind: "previous", graceLeftMs: 1 }],
    [30_000, { kind: "retired", endedAtMs: 30_000 }],
    [30_001, { kind: "retired", endedAtMs: 30_000 }],
  ])("keep the one before through its grace, at %i", (nowMs, standing) => {
    const slots = succeedWithGrace(fresh, "t1", { nowMs: 0, graceMs: 30_000 });

    expect(findToken(slots, "t0", nowMs)).toEqual(standing);
    expect(findToken(slots, "t1", nowMs)).toEqual({ kind: "current" });
  });

  it("retire the one in grace when a second successor comes", () => {
    const first = succeedWithGrace(fresh, "t1", { nowMs: 0, graceMs: 30_000 });
    const second = succeedWithGrace(first, "t2", { nowMs: 1_000, graceMs: 30_000 });

    expect(findToken(second, "t0", 1_000)).toEqual({ kind: "retired", endedAtMs: 1_000 });
    expect(findToken(second, "t1", 1_000)).toEqual({ kind: "previous", graceLeftMs: 30_000 });
  });

  it("remember the end of a grace that was over long ago", () => {
    const first = succeedWithGrace(fresh, "t1", { nowMs: 0, graceMs: 30_000 });
    const later = succeedAtOnce(first, "t2", 90_000);

    expect(findToken(later, "t0", 90_000)).toEqual({ kind: "retired", endedAtMs: 30_000 });
    expect(findToken(later, "t1", 90_000)).toEqual({ kind: "retired", endedAtMs: 90_000 });
  });

  it("end the current one and the one in grace at once where they are told to", () => {
    const first = succeedWithGrace(fresh, "t1", { nowMs: 0, graceMs: 30_000 });
    const next = succeedAtOnce(first, "t2", 1_000);

    expect(next.previous).toBeUndefined();
    for (const digest of ["t0", "t1"]) {
      expect(findToken(next, digest, 1_000)).toEqual({ kind: "retired", endedAtMs: 1_000 });
    }
  });

  it("are bounded, have one current token, and never revive a retired one", () => {
    const rotation = fc.record({
      kind: fc.constantFrom("grace", "at-once"),
      afterMs: fc.nat({ max: 60_000 }),
    });

    fc.assert(
      fc.property(fc.array(rotation, { maxLength: 12 }), (rotations) => {
        let slots = fresh;
        let nowMs = 0;
        const ended = new Set<string>();
        for (const [index, { kind, afterMs }] of rotations.entries()) {
          nowMs += afterMs;
          const successor = `t${index + 1}`;
          slots =
            kind === "grace"
              ? succeedWithGrace(slots, successor, { nowMs, graceMs: 30_000 })
              : succeedAtOnce(slots, successor, nowMs);
          for (let token = 0; token <= index; token += 1) {
            const standing = findToken(slots, `t${token}`, nowMs).kind;
            if (standing === "retired" || standing === "unknown") {
              ended.add(`t${token}`);
            }
            expect(standing).not.toBe("current");
            expect(ended.has(`t${token}`) && standing === "previous").toBe(false);
          }
          expect(findToken(slots, successor, nowMs)).toEqual({ kind: "current" });
          expect(slots.retired.length).toBeLessThanOrEqual(RETIRED_TOKENS_MAX);
        }
      }),
    );
  });
});
