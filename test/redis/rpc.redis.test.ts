import { randomUUID } from "node:crypto";

import { Redis } from "ioredis";
import { describe, expect, inject, it } from "vitest";

import { createAuthority } from "#server/server.js";
import { createKeySpace } from "#server/store/redis/keys.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";

import { freePort } from "../support/free-port.js";
import { startRedisServer } from "../support/redis-server.js";
import { eventually } from "../support/eventually.js";
import { failure, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

// The handlers' tests say nothing about a store, so they hold with Redis as well. Each file's
// authorities share a namespace of their own.
const url = inject("redisUrl");
const namespace = `rpc-${randomUUID().slice(0, 8)}:`;
storeUnderTest.create = (options) => createRedisStore({ ...options, url, namespace });

await import("../rpc/session-lifecycle.test.js");
await import("../rpc/idempotency.test.js");
await import("../rpc/bind-subject.test.js");

describe("an authority whose Redis is away", () => {
  it("listens, is not ready, and says UNAVAILABLE with nothing applied (S-47)", async () => {
    const away = `redis://127.0.0.1:${await freePort()}`;
    const authority = await createAuthority({
      createStore: (options) => createRedisStore({ ...options, url: away }),
    });
    const api = new SessionApi(authority.address);

    expect(authority.isReady).toBe(false);
    expect(await failure(api.create())).toMatchObject({
      code: "UNAVAILABLE",
      reason: "STORE_UNAVAILABLE",
    });

    api.close();
    await authority.close();
  });

  it("takes the name of the data that is there, where it was exchanged under it (row 23)", async () => {
    const redis = await startRedisServer();
    const authority = await createAuthority({
      createStore: (options) =>
        createRedisStore({ ...options, url: `redis://127.0.0.1:${redis.port}` }),
    });
    const api = new SessionApi(authority.address);
    const before = await authority.deploymentId();
    const client = new Redis(redis.port);

    await client.hset(createKeySpace("cc:").head(0), "deployment", "restored");

    await eventually(async () => (await authority.deploymentId()) === "restored");
    const { deploymentId, heads } = await api.sync();
    expect(before).not.toBe("restored");
    expect(deploymentId).toBe("restored");
    expect(await failure(api.sync({ deploymentId: before, position: heads }))).toMatchObject({
      reason: "WRONG_DEPLOYMENT",
    });
    client.disconnect();
    api.close();
    await authority.close();
    await redis.stop();
  });

  it("becomes ready again by itself when Redis is back", async () => {
    const redis = await startRedisServer();
    const authority = await createAuthority({
      createStore: (options) =>
        createRedisStore({ ...options, url: `redis://127.0.0.1:${redis.port}` }),
    });
    const api = new SessionApi(authority.address);
    await eventually(() => authority.isReady);

    await redis.kill();
    await eventually(() => !authority.isReady);
    await redis.start();
    await eventually(() => authority.isReady, { timeoutMs: 15_000 });

    expect((await api.create()).token).not.toBe("");
    api.close();
    await authority.close();
    await redis.stop();
  });
});
