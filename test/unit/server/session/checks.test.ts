import { describe, expect, it } from "vitest";

import {
  type BindingPresented,
  evaluateBinding,
  evaluateRequirements,
} from "#server/session/checks.js";
import type { BindingMode } from "#server/session/policy.js";

const device = { id: "laptop", ipAddress: "192.0.2.7", userAgent: "Firefox" };
const home: BindingPresented = {
  ipAddress: "192.0.2.7",
  userAgent: "Firefox",
  deviceId: "laptop",
};
const away: BindingPresented = { ipAddress: "198.51.100.1", userAgent: "Safari", deviceId: "" };

function modes(mode: BindingMode): Record<"ipAddress" | "userAgent" | "deviceId", BindingMode> {
  return { ipAddress: mode, userAgent: mode, deviceId: mode };
}

describe("a binding", () => {
  it("holds where everything is the same, however strict", () => {
    for (const mode of ["off", "warn", "enforce"] as const) {
      expect(evaluateBinding(home, { device, modes: modes(mode) })).toEqual({
        mismatch: false,
        warnings: [],
      });
    }
  });

  it("names every field that only warns", () => {
    expect(evaluateBinding(away, { device, modes: modes("warn") })).toEqual({
      mismatch: false,
      warnings: ["ip_address", "user_agent", "device_id"],
    });
  });

  it("is refused by a single enforced field, beside others that warn", () => {
    expect(
      evaluateBinding(away, { device, modes: { ...modes("warn"), deviceId: "enforce" } }),
    ).toEqual({ mismatch: true, warnings: ["ip_address", "user_agent"] });
  });

  it("of two unknowns is no match, S-11", () => {
    const unknown = { id: "", ipAddress: "", userAgent: "" };
    const nothing = { ipAddress: "", userAgent: "", deviceId: "" };

    expect(evaluateBinding(nothing, { device: unknown, modes: modes("enforce") }).mismatch).toBe(
      true,
    );
  });

  it("is left to the caller where nothing is presented", () => {
    expect(evaluateBinding(undefined, { device, modes: modes("enforce") }).mismatch).toBe(false);
  });
});

describe("requirements", () => {
  const facts = { aal: 2, amr: ["pwd", "otp"], authenticatedAtMs: 1_000 };
  const none = { minAal: 0, maxAuthAgeMs: undefined, requiredAmr: [] };

  it("that ask for nothing hold for a session that knows nothing", () => {
    const nothing = { aal: 0, amr: [], authenticatedAtMs: undefined };

    expect(evaluateRequirements(undefined, nothing, 5_000)).toBeUndefined();
    expect(evaluateRequirements(none, nothing, 5_000)).toBeUndefined();
  });

  it.each([
    [{ ...none, minAal: 2 }, undefined],
    [{ ...none, minAal: 3 }, "insufficient-aal"],
    [{ ...none, requiredAmr: ["otp"] }, undefined],
    [{ ...none, requiredAmr: ["otp", "hwk"] }, "insufficient-aal"],
    [{ ...none, maxAuthAgeMs: 4_000 }, undefined],
    [{ ...none, maxAuthAgeMs: 3_999 }, "authentication-too-old"],
    [{ minAal: 3, maxAuthAgeMs: 0, requiredAmr: [] }, "insufficient-aal"],
  ])("%o are answered by %s", (asked, lacking) => {
    expect(evaluateRequirements(asked, facts, 5_000)).toBe(lacking);
  });

  it("of age do not hold where the instant is not known, S-11", () => {
    const unknown = { ...facts, authenticatedAtMs: undefined };

    expect(evaluateRequirements({ ...none, maxAuthAgeMs: 1_000_000 }, unknown, 5_000)).toBe(
      "authentication-too-old",
    );
  });
});
