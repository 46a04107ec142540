// Redis only: the link to a Redis that speaks TLS, with a certificate of one's own authority.

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";
import type { Store } from "#server/store/store.js";

import { TestCa } from "../support/certificates.js";
import { freePort } from "../support/free-port.js";
import { type RedisServer, startRedisServer } from "../support/redis-server.js";

describe("rediss://", () => {
  let ca: TestCa;
  let other: TestCa;
  let server: RedisServer;
  let port: number;
  const stores: Store[] = [];

  beforeAll(async () => {
    ca = new TestCa();
    other = new TestCa();
    const { certPath, keyPath } = ca.issue({ names: "IP:127.0.0.1" });
    const tls = {
      "tls-cert-file": certPath,
      "tls-key-file": keyPath,
      "tls-ca-cert-file": ca.path,
      "tls-auth-clients": "no",
    };
    port = await freePort();
    server = await startRedisServer({ config: { ...tls, "tls-port": String(port) } });
  });

  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });

  afterAll(async () => {
    await server.stop();
    for (const made of [ca, other]) made.remove();
  });

  async function connect(host: string, tlsAuthority: Buffer | undefined): Promise<Store> {
    const store = createRedisStore({
      url: `rediss://${host}:${port}`,
      credentials: () => ({ tlsAuthority }),
      clock: systemClock,
      maxStalenessMs: 3_000,
      logRetention: 100,
    });
    stores.push(store);
    await store.start();
    return store;
  }

  it("reaches a Redis whose certificate the given authority signed (S-25)", async () => {
    const store = await connect("127.0.0.1", ca.cert);

    expect(await store.deploymentId()).not.toBe("");
  });

  it.each([
    ["another authority", () => other.cert],
    ["only whom the system trusts", () => undefined],
  ])("reaches nothing with %s", async (_, authority) => {
    const store = await connect("127.0.0.1", authority());

    await expect(store.deploymentId()).rejects.toThrow();
  });

  it("reaches nothing under a name that the certificate does not have", async () => {
    const store = await connect("localhost", ca.cert);

    await expect(store.deploymentId()).rejects.toThrow();
  });
});
