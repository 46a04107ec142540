import { describe, expect, it } from "vitest";

import { formatBanner } from "#server/banner.js";
import { readConfig } from "#server/config.js";

function bannerFor(environment: NodeJS.ProcessEnv, address = "127.0.0.1:7443"): string {
  return formatBanner({
    address,
    version: "0.0.0",
    config: readConfig(environment),
    hasCallers: false,
    isColoured: false,
  });
}

// `test/readme.test.ts` runs the program it shows, `test/foreign/banner.test.ts` the grpcurl call.
describe("the banner", () => {
  it("says that the memory store forgets, and how to use Redis instead", () => {
    const banner = bannerFor({});

    expect(banner).toContain("MEMORY STORE: every session is gone when this process ends");
    expect(banner).toContain("\nCOATCHECK_REDIS_URL=redis://127.0.0.1:6379 npm start\n");
  });

  it("starts another replica on the same Redis and another port", () => {
    const banner = bannerFor({
      COATCHECK_REDIS_URL: "redis://redis.internal:6379/2",
      COATCHECK_NAMESPACE: "shop:",
    });

    expect(banner).not.toContain("MEMORY STORE");
    expect(banner).toContain(
      "\nCOATCHECK_LISTEN=127.0.0.1:7444 COATCHECK_NAMESPACE=shop: " +
        "COATCHECK_REDIS_URL=redis://redis.internal:6379/2 npm start\n",
    );
  });

  it.each([
    "redis://:hunter2@redis.internal:6379",
    "redis://redis.internal:6379?password=hunter2",
    "rediss+sentinel://user:hunter2@h1,h2/name",
  ])("never shows a password: %s", (url) => {
    const banner = bannerFor({ COATCHECK_REDIS_URL: url });

    expect(banner).not.toContain("hunter2");
    expect(banner).toContain("COATCHECK_REDIS_URL=redis://… npm start");
  });

  it.each(["0.0.0.0:7443", "[::]:7443"])("names an address one can connect to, for %s", (all) => {
    const banner = bannerFor({}, all);

    expect(banner).toContain(`listens on ${all}`);
    expect(banner).toContain('target: "127.0.0.1:7443"');
    expect(banner).toContain("127.0.0.1:7443 coatcheck.v1.SessionService/CreateSession");
  });

  it("says the bound and gives the schema only where reflection is off", () => {
    expect(bannerFor({ COATCHECK_MAX_STALENESS: "1s" })).toContain("no cache is staler than 1 s");
    expect(bannerFor({})).toContain("-import-path proto");
    expect(bannerFor({ COATCHECK_REFLECTION: "1" })).not.toContain("-import-path");
  });
});
