// Redis only: where it is, what is said when it is not, and the reaper's timer.

import { inspect } from "node:util";

import { describe, expect, inject, it } from "vitest";

import { parseRedisUrl } from "#server/store/redis/connection.js";
import { toStoreError } from "#server/store/redis/redis-error.js";
import { StoreFullError, StoreUnavailableError } from "#server/store/store-error.js";

import { PARTITION, START_MS, World } from "../contract/world.js";
import { eventually } from "../support/eventually.js";
import { ManualClock } from "../support/manual-clock.js";
import { createRedisHarness } from "../support/redis-harness.js";

describe("a Redis URL", () => {
  it.each([
    ["redis://localhost", { kind: "single", hosts: [{ host: "localhost", port: 6379 }] }],
    ["redis://127.0.0.1:7000/3", { hosts: [{ host: "127.0.0.1", port: 7000 }], database: 3 }],
    ["rediss://r", { tls: true }],
    ["redis://:p%40ss@r", { username: undefined, password: "p@ss" }],
    ["redis://user:a:b@r", { username: "user", password: "a:b" }],
    ["redis://[::1]:7000", { hosts: [{ host: "::1", port: 7000 }] }],
    [
      "redis+sentinel://a,b:26380/main",
      {
        kind: "sentinel",
        name: "main",
        hosts: [
          { host: "a", port: 26379 },
          { host: "b", port: 26380 },
        ],
      },
    ],
    ["rediss+cluster://a:1,b:2", { kind: "cluster", tls: true }],
  ])("%s is understood", (url, expected) => {
    expect(parseRedisUrl(url)).toMatchObject(expected);
  });

  it.each([
    "http://secret@host",
    "redis://secret@",
    "redis://secret@host:port",
    "redis://secret@host/name",
    "redis+sentinel://secret@host",
    "redis+other://secret@host",
    "",
  ])("%j is refused without being shown, I-15", (url) => {
    let refusal: unknown;
    try {
      parseRedisUrl(url);
    } catch (error) {
      refusal = error;
    }

    expect(inspect(refusal)).toContain("Cannot read the Redis URL");
    expect(inspect(refusal)).not.toContain("secret");
  });
});

/** As the library makes it. */
function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: "ReplyError" });
}

describe("a failure of Redis", () => {
  it.each([
    ["MISCONF Redis is configured to save RDB snapshots", "no"],
    ["READONLY You can't write against a read only replica.", "no"],
    ["LOADING Redis is loading the dataset in memory", "no"],
    ["NOREPLICAS Not enough good replicas to write.", "no"],
    ["NOSCRIPT No matching script.", "no"],
    ["MOVED 3999 127.0.0.1:6381", "no"],
    ["CLOSED the partition has no generation", "no"],
    ["ERR user_script:1: anything", "unknown"],
    ["WRONGTYPE Operation against a key", "unknown"],
  ])("%s applied: %s", (message, applied) => {
    expect(toStoreError("try", replyError(message))).toMatchObject({
      name: "StoreUnavailableError",
      applied,
    });
  });

  it.each([
    ["Command timed out", "unknown"],
    ["Connection is closed.", "unknown"],
    ["Stream isn't writeable and enableOfflineQueue options is false", "no"],
    ["anything else", "unknown"],
  ])("of the connection, %s, applied: %s", (message, applied) => {
    expect(toStoreError("try", new Error(message))).toMatchObject({ applied });
  });

  it("at the memory limit is a full store", () => {
    expect(toStoreError("try", replyError("OOM allow-oom flag is not set"))).toBeInstanceOf(
      StoreFullError,
    );
  });

  it("has nothing of the command in what goes on", () => {
    const error = Object.assign(replyError("ERR of canary"), {
      command: { name: "evalsha", args: ["canary"] },
    });

    expect(inspect(toStoreError("try", error), { depth: 10, showHidden: true })).not.toContain(
      "canary",
    );
  });
});

describe("a store that was closed", () => {
  it("fails every call, and leaves no timer", async () => {
    const clock = new ManualClock();
    const harness = await createRedisHarness(inject("redisUrl"), { clock, reapIntervalMs: 1_000 });
    expect(clock.timerCount).toBe(1);

    await harness.store.close();

    expect(clock.timerCount).toBe(0);
    await expect(harness.store.log.pull(PARTITION, undefined, 1)).rejects.toBeInstanceOf(
      StoreUnavailableError,
    );
    await harness.close();
  });
});

describe("the reaper's timer", () => {
  it("deletes what is over, round after round", async () => {
    const clock = new ManualClock();
    const harness = await createRedisHarness(inject("redisUrl"), { clock, reapIntervalMs: 1_000 });
    const world = await World.open(async () => await Promise.resolve(harness));
    const session = await world.create({ policy: { retentionMs: 1_000 } });
    await world.revoke(session);
    expect(await world.state(session)).toBe("revoked");

    await harness.setNow(PARTITION, START_MS + 1_000);
    await eventually(async () => {
      clock.advance(1_300);
      return (await world.state(session)) === "gone";
    });

    expect(clock.timerCount).toBeLessThanOrEqual(1);
    await world.close();
  });
});
