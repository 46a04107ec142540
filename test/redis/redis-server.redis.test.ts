// Redis only: this tests the process that the other tests break.

import { Redis } from "ioredis";
import { afterEach, describe, expect, inject, it } from "vitest";

import { startRedisServer, type RedisServer } from "../support/redis-server.js";

describe("RedisServer", () => {
  let server: RedisServer | undefined;
  let redis: Redis | undefined;

  afterEach(async () => {
    redis?.disconnect();
    await server?.stop();
  });

  it("keeps what was appended across kill -9 and a start on the same port", async () => {
    server = await startRedisServer({ config: { appendonly: "yes", appendfsync: "always" } });
    redis = new Redis(server.url);
    await redis.set("key", "value");

    await server.restart();

    expect(await redis.get("key")).toBe("value");
  });

  it("keeps connections open and answers nothing while it is paused", async () => {
    server = await startRedisServer({ config: { requirepass: "secret" } });
    redis = new Redis(server.url, { commandTimeout: 100 });
    await redis.ping();

    server.pause();
    await expect(redis.ping()).rejects.toThrow("Command timed out");
    server.resume();

    expect(redis.status).toBe("ready");
  });
});

describe("the Redis of this run", () => {
  it("answers", async () => {
    const redis = new Redis(inject("redisUrl"));

    expect(await redis.ping()).toBe("PONG");

    redis.disconnect();
  });
});
