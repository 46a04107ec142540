import { describe, expect, it } from "vitest";

import { isMetricsTls, refuseExposure } from "#server/exposure.js";

const BOTH = [false, true];
const LOOPBACK = ["127.0.0.1", "127.1.2.3", "localhost", "::1"];
const OTHERS = [
  "0.0.0.0",
  "::",
  "10.0.0.1",
  "authority.internal",
  "127.0.0.1.example",
  "1127.0.0.1",
];

interface Flags {
  readonly storeKind: "memory" | "redis";
  readonly hasTls: boolean;
  readonly hasCallers: boolean;
  readonly dangerousPlaintext: boolean;
}

const EVERY: Flags[] = (["memory", "redis"] as const).flatMap((storeKind) =>
  BOTH.flatMap((hasTls) =>
    BOTH.flatMap((hasCallers) =>
      BOTH.map((dangerousPlaintext) => ({ storeKind, hasTls, hasCallers, dangerousPlaintext })),
    ),
  ),
);

function refusal(host: string, flags: Flags): string {
  try {
    refuseExposure({ listen: { host, port: 7443 }, ...flags });
  } catch (error) {
    return error instanceof RangeError ? error.message : "another error";
  }
  return "";
}

describe("refuseExposure", () => {
  it.each(LOOPBACK)("lets %s be served, whatever else is set", (host) => {
    for (const flags of EVERY) expect(refusal(host, flags)).toBe("");
  });

  // S-25: the whole table, for each address that another machine may reach.
  it.each(OTHERS)(
    "lets %s be served from Redis with TLS and callers, or at one's own risk",
    (host) => {
      for (const flags of EVERY) {
        const { storeKind, hasTls, hasCallers, dangerousPlaintext } = flags;
        const isSafe = hasTls ? hasCallers : dangerousPlaintext;
        expect([flags, refusal(host, flags) === ""]).toEqual([
          flags,
          storeKind === "redis" && isSafe,
        ]);
      }
    },
  );

  it("says what is missing", () => {
    const bare = { storeKind: "redis", hasCallers: true, dangerousPlaintext: false } as const;

    expect(refusal("0.0.0.0", { ...bare, hasTls: false })).toBe(
      "Cannot listen on 0.0.0.0: without TLS only loopback is served",
    );
    expect(refusal("0.0.0.0", { ...bare, hasTls: true, hasCallers: false })).toContain(
      "without a callers configuration",
    );
    expect(refusal("0.0.0.0", { ...bare, hasTls: true, storeKind: "memory" })).toContain(
      "the memory store",
    );
  });
});

describe("isMetricsTls", () => {
  it.each(LOOPBACK)("has %s read in plaintext", (host) => {
    for (const hasClientCertificates of BOTH) {
      const listen = { host, port: 9464 };
      expect(isMetricsTls({ listen, hasClientCertificates, dangerousPlaintext: true })).toBe(false);
    }
  });

  it.each(OTHERS)("shows %s nothing without certificates for clients (S-30)", (host) => {
    const listen = { host, port: 9464 };

    expect(isMetricsTls({ listen, hasClientCertificates: true, dangerousPlaintext: true })).toBe(
      true,
    );
    expect(() =>
      isMetricsTls({ listen, hasClientCertificates: false, dangerousPlaintext: false }),
    ).toThrow(`Cannot serve metrics on ${host}`);
    expect(isMetricsTls({ listen, hasClientCertificates: false, dangerousPlaintext: true })).toBe(
      false,
    );
  });
});
