import { describe, expect, it } from "vitest";
import type { BindingMode } from "#client/base/session.js";
import { checkConditions, type AskedConditions } from "#client/cache/conditions.js";
import type { Facts } from "#client/cache/entry-table.js";
import { rev, session } from "../support/fixtures.js";

const NOTHING: AskedConditions = {
  audienceClientIds: [],
  binding: undefined,
  minAal: 0,
  maxAuthAgeMs: undefined,
  requiredAmr: [],
};

function facts(overrides: Partial<Facts> = {}): Facts {
  return {
    session: session({ aal: 2, amr: ["pwd", "otp"], clientId: "web" }),
    asOf: rev(0),
    issued: rev(0),
    validForMs: 1_000,
    superseded: false,
    authenticationAgeMs: 1_000,
    ...overrides,
  };
}

function verdict(asked: Partial<AskedConditions>, given = facts(), ageMs = 0): string {
  const result = checkConditions(given, { ...NOTHING, ...asked }, ageMs);
  return result.kind === "met" ? "met" : result.outcome;
}

describe("conditions", () => {
  it("are a pure AND: every combination is met exactly where each part is (S-11)", () => {
    const parts = [
      { met: { minAal: 2 }, unmet: { minAal: 3 } },
      { met: { requiredAmr: ["otp"] }, unmet: { requiredAmr: ["otp", "hwk"] } },
      { met: { maxAuthAgeMs: 1_000 }, unmet: { maxAuthAgeMs: 999 } },
      { met: { audienceClientIds: ["web"] }, unmet: { audienceClientIds: ["app"] } },
    ];
    for (let bits = 0; bits < 3 ** parts.length; bits += 1) {
      const chosen = parts.map((part, index) => ({
        part,
        digit: Math.floor(bits / 3 ** index) % 3,
      }));
      const asked = Object.assign(
        {},
        ...chosen.map(({ part, digit }) =>
          digit === 0 ? {} : digit === 1 ? part.met : part.unmet,
        ),
      ) as Partial<AskedConditions>;
      const isMet = chosen.every(({ digit }) => digit !== 2);

      expect(verdict(asked) === "met").toBe(isMet);
    }
  });

  it("age the authentication by the time the facts were kept", () => {
    expect(verdict({ maxAuthAgeMs: 1_500 }, facts(), 500)).toBe("met");
    expect(verdict({ maxAuthAgeMs: 1_500 }, facts(), 501)).toBe("authentication-too-old");
  });

  it("are not met by an authentication of unknown age", () => {
    const unknown = facts({ authenticationAgeMs: undefined });

    expect(verdict({ maxAuthAgeMs: 1_000_000 }, unknown)).toBe("authentication-too-old");
    expect(verdict({}, unknown)).toBe("met");
  });

  it("answer in the authority's order", () => {
    const everything = { audienceClientIds: ["app"], minAal: 3, maxAuthAgeMs: 0 };

    expect(verdict(everything)).toBe("not-found");
    expect(verdict({ ...everything, audienceClientIds: [] })).toBe("insufficient-aal");
  });

  it.each<[BindingMode, string, string]>([
    ["off", "10.0.0.2", "met"],
    ["warn", "10.0.0.2", "met"],
    ["enforce", "10.0.0.2", "binding-mismatch"],
    ["enforce", "10.0.0.1", "met"],
    ["enforce", "", "binding-mismatch"],
  ])("compare an address under %s: %s is %s", (mode, ipAddress, outcome) => {
    const bound = facts({
      session: session({
        device: { id: "", name: "", ipAddress: "10.0.0.1", userAgent: "" },
        bindingPolicy: { ipAddress: mode, userAgent: "off", deviceId: "off" },
      }),
    });

    expect(verdict({ binding: { ipAddress, userAgent: "", deviceId: "" } }, bound)).toBe(outcome);
  });

  it("name the fields that differ where the policy only warns", () => {
    const bound = facts({
      session: session({
        bindingPolicy: { ipAddress: "warn", userAgent: "off", deviceId: "warn" },
      }),
    });
    const binding = { ipAddress: "10.0.0.2", userAgent: "", deviceId: "d" };

    expect(checkConditions(bound, { ...NOTHING, binding }, 0)).toEqual({
      kind: "met",
      bindingWarnings: ["ip_address", "device_id"],
    });
    expect(checkConditions(bound, NOTHING, 0)).toEqual({ kind: "met", bindingWarnings: [] });
  });
});
