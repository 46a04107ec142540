// Redis only: memory and disk that are full.

import { mkdirSync } from "node:fs";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { StoreFullError, StoreUnavailableError } from "#server/store/store-error.js";

import { PARTITION, World } from "../contract/world.js";
import { eventually } from "../support/eventually.js";
import { createRedisHarness, type RedisHarness } from "../support/redis-harness.js";
import { startRedisServer, type RedisServer } from "../support/redis-server.js";

let server: RedisServer;
let harness: RedisHarness;
let world: World;

async function start(minReplicas = 0): Promise<void> {
  harness = await createRedisHarness(server.url, { minReplicas });
  world = await World.open(async () => await Promise.resolve(harness));
}

beforeEach(async () => {
  server = await startRedisServer({ config: { dbfilename: "in-the-way" } });
});

afterEach(async () => {
  await harness.store.close();
  harness.redis.disconnect();
  await server.stop();
});

describe("a Redis at its memory limit", () => {
  it("takes no new session and no new facts, and does everything else, FAULTS row 21, S-36", async () => {
    await start();
    const session = await world.create();
    const other = await world.create();
    await world.at(120_000);
    await harness.redis.config("SET", "maxmemory", "1");

    await expect(world.create()).rejects.toBeInstanceOf(StoreFullError);
    await expect(world.update(session)).rejects.toBeInstanceOf(StoreFullError);

    expect(await world.outcome(session)).toBe("valid");
    expect((await world.use(session)).record?.lastSeenAtMs).toBe(
      (await world.store.sessions.read(session.sessionId))?.nowMs,
    );
    expect((await world.rotate(session, "login")).kind).toBe("rotated");
    expect((await world.revoke(session)).kind).toBe("revoked");
    expect((await world.revokeSubject()).kind).toBe("revoked");
    expect(await world.outcome(other)).toBe("revoked");
    await harness.redis.config("SET", "maxmemory", "0");
    await world.at(3_600_000);
    await harness.redis.config("SET", "maxmemory", "1");
    expect(await world.store.sessions.reap(PARTITION, 10)).toBeGreaterThan(0);
  });
});

describe("a Redis that cannot write to its disk", () => {
  /** As after a failed save: the file cannot be renamed to where a folder is. */
  async function failSaving(): Promise<void> {
    mkdirSync(`${server.folder}/in-the-way/x`, { recursive: true });
    await harness.redis.config("SET", "save", "3600 1");
    await harness.redis.config("SET", "stop-writes-on-bgsave-error", "yes");
    await harness.redis.bgsave();
    await eventually(async () =>
      (await harness.redis.info("persistence")).includes("rdb_last_bgsave_status:err"),
    );
  }

  it("validates, one by one and in batches, and records no use, FAULTS row 18", async () => {
    await start();
    const session = await world.create();
    const revoked = await world.create();
    await world.revoke(revoked);
    await world.at(120_000);
    await failSaving();

    const reply = await world.use(session);
    const batch = await world.store.sessions.validateBatch(PARTITION, [
      world.validateCommand(session, { touch: true }),
      world.validateCommand(revoked),
    ]);

    expect(reply.outcome).toBe("valid");
    expect(reply.record?.lastSeenAtMs).toBe(reply.record?.createdAtMs);
    expect(batch.map(({ outcome }) => outcome)).toEqual(["valid", "revoked"]);
  });

  it("refuses what writes, and says that nothing was applied", async () => {
    await start();
    const session = await world.create();
    await failSaving();

    for (const attempt of [world.revoke(session), world.create(), world.head()]) {
      await expect(attempt).rejects.toMatchObject({ name: "StoreUnavailableError", applied: "no" });
    }
    expect(await world.outcome(session)).toBe("valid");
  });

  it("does not validate without as many replicas as were asked for", async () => {
    await start(1);
    const session = await world.create();
    expect(await world.outcome(session)).toBe("valid");
    await failSaving();

    await expect(world.validate(session)).rejects.toBeInstanceOf(StoreUnavailableError);
  });
});
