import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { LimitAction } from "#server/session/policy.js";
import { applySessionLimit } from "#server/session/session-limit.js";

const live = [
  { sessionId: "a", createdAtMs: 1, lastSeenAtMs: 50 },
  { sessionId: "b", createdAtMs: 2, lastSeenAtMs: 40 },
  { sessionId: "c", createdAtMs: 3, lastSeenAtMs: 40 },
];

describe("a session limit", () => {
  it.each<[LimitAction, readonly string[]]>([
    ["evict-oldest", ["a"]],
    ["evict-least-recently-used", ["b"]],
    ["evict-all", ["a", "b", "c"]],
  ])("that says %s evicts %s", (action, evict) => {
    expect(applySessionLimit(live, { max: 3, action })).toEqual({ kind: "admit", evict });
  });

  it("that denies says how many live", () => {
    expect(applySessionLimit(live, { max: 3, action: "deny" })).toEqual({
      kind: "deny",
      liveSessions: 3,
    });
  });

  it.each<LimitAction>(["deny", "evict-oldest", "evict-least-recently-used", "evict-all"])(
    "that is not reached admits, whatever it says (%s)",
    (action) => {
      const admitted = { kind: "admit", evict: [] };

      expect(applySessionLimit(live, { max: 4, action })).toEqual(admitted);
      expect(applySessionLimit(live, { max: 0, action })).toEqual(admitted);
    },
  );

  it("leaves room for exactly one more", () => {
    const candidates = fc.array(fc.nat({ max: 5 }), { maxLength: 20 });
    const action = fc.constantFrom("evict-oldest" as const, "evict-least-recently-used" as const);

    fc.assert(
      fc.property(candidates, fc.integer({ min: 1, max: 10 }), action, (uses, max, chosen) => {
        const sessions = uses.map((lastSeenAtMs, index) => ({
          sessionId: `s${index}`,
          createdAtMs: index,
          lastSeenAtMs,
        }));

        const decision = applySessionLimit(sessions, { max, action: chosen });

        const evicted = decision.kind === "admit" ? decision.evict : expect.fail("denied");
        expect(new Set(evicted).size).toBe(evicted.length);
        expect(sessions.length - evicted.length + 1).toBe(Math.min(sessions.length + 1, max));
      }),
    );
  });
});
