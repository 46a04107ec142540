import { describe, expect, it } from "vitest";

import { judgeVersion } from "#server/store/redis/inspect.js";

describe("the floor of versions (S-38)", () => {
  it.each([
    ["redis", "6.2.20", "refuse"],
    ["redis", "7.0.15", "warn"],
    ["redis", "7.2.10", "refuse"],
    ["redis", "7.2.11", "ok"],
    ["redis", "7.4.5", "refuse"],
    ["redis", "7.4.6", "ok"],
    ["redis", "8.0.3", "refuse"],
    ["redis", "8.0.4", "ok"],
    ["redis", "8.2.1", "refuse"],
    ["redis", "8.2.2", "ok"],
    ["redis", "9.0.0", "ok"],
    ["valkey", "7.2.10", "refuse"],
    ["valkey", "8.0.6", "ok"],
    ["valkey", "8.1.3", "refuse"],
    ["valkey", "8.1.4", "ok"],
  ])("is for %s %s: %s", (name, version, level) => {
    // Valkey says that it is Redis 7.2.4 too.
    const info = new Map([
      ["redis_version", "7.2.4"],
      [`${name}_version`, version],
    ]);

    expect(judgeVersion(info)).toMatchObject({ check: "version", level });
  });

  it("is not met by a server that does not say what it is", () => {
    expect(judgeVersion(new Map())).toMatchObject({ level: "refuse" });
  });
});
