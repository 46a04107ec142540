import { describe, expect, it } from "vitest";

import type { RotationTrigger } from "#server/session/outcome.js";
import { decideRotation, REUSE_TOLERANCE_MS } from "#server/session/rotation.js";

const FIXATION_DEFENCE: readonly RotationTrigger[] = [
  "login",
  "reauthentication",
  "privilege-change",
  "credential-change",
];
const ALL: readonly RotationTrigger[] = ["periodic", ...FIXATION_DEFENCE];

describe("a rotation", () => {
  it("that is PERIODIC installs with the current token and hands out with the one in grace", () => {
    expect(decideRotation({ kind: "current" }, "periodic", 0)).toBe("install-with-grace");
    expect(decideRotation({ kind: "previous", graceLeftMs: 1 }, "periodic", 0)).toBe("hand-out");
  });

  it.each(FIXATION_DEFENCE)("for %s installs its own with any valid token", (trigger) => {
    expect(decideRotation({ kind: "current" }, trigger, 0)).toBe("install-at-once");
    expect(decideRotation({ kind: "previous", graceLeftMs: 1 }, trigger, 0)).toBe(
      "install-at-once",
    );
  });

  it.each(ALL)("for %s tells a late duplicate from reuse by 30 s", (trigger) => {
    const retired = { kind: "retired", endedAtMs: 1_000 } as const;

    expect(REUSE_TOLERANCE_MS).toBe(30_000);
    expect(decideRotation(retired, trigger, 30_999)).toBe("late-duplicate");
    expect(decideRotation(retired, trigger, 31_000)).toBe("reuse");
    expect(decideRotation(retired, trigger, 31_001)).toBe("reuse");
  });

  it.each(ALL)("for %s with an unknown token does nothing", (trigger) => {
    expect(decideRotation({ kind: "unknown" }, trigger, 1_000_000)).toBe("unknown-token");
  });
});
