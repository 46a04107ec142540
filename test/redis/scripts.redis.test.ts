// Redis only: how scripts are written, loaded and run.

import { readdirSync, readFileSync } from "node:fs";

import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { loadScript, SCRIPT_NAMES } from "#server/store/redis/scripts.js";
import { StoreUnavailableError, UnsupportedSchemaError } from "#server/store/store-error.js";

import { PARTITION, World } from "../contract/world.js";
import { ROOT } from "../support/child.js";
import { createRedisHarness, type RedisHarness } from "../support/redis-harness.js";

const LUA_DIR = `${ROOT}server/lua/`;

/** A full Redis refuses these, and only these: what adds, and what strangers can have written. */
const REFUSED_WHEN_FULL = ["append_denied", "create_session", "update_session"];

describe("the scripts", () => {
  it("are the files of the folder", () => {
    const files = readdirSync(LUA_DIR).filter((name) => name.endsWith(".lua"));

    expect(files.map((name) => name.replace(".lua", "")).sort()).toEqual([...SCRIPT_NAMES].sort());
  });

  it.each(SCRIPT_NAMES)("%s says on byte 0 what it may do", (name) => {
    const firstLine = readFileSync(`${LUA_DIR}${name}.lua`, "utf8").split("\n")[0];

    const expected = REFUSED_WHEN_FULL.includes(name)
      ? "#!lua"
      : name === "validate_readonly"
        ? "#!lua flags=no-writes,allow-oom"
        : "#!lua flags=allow-oom";
    expect(firstLine).toBe(expected);
  });

  it.each(SCRIPT_NAMES)("%s has every library it names, and no unfinished include", (name) => {
    expect(loadScript(name)).not.toContain("@include");
  });

  it("use every library of the folder", () => {
    const sources = SCRIPT_NAMES.map((name) =>
      readFileSync(`${LUA_DIR}${name}.lua`, "utf8"),
    ).join();

    for (const library of readdirSync(`${LUA_DIR}lib`)) {
      expect(sources).toContain(`-- @include lib/${library}`);
    }
  });
});

describe("a script", () => {
  let harness: RedisHarness;
  let world: World;

  beforeEach(async () => {
    harness = await createRedisHarness(inject("redisUrl"));
    world = await World.open(async () => await Promise.resolve(harness));
  });

  afterEach(async () => {
    await world.close();
  });

  it("that Redis has forgotten is loaded again by itself, FAULTS row 24", async () => {
    const session = await world.create();
    await harness.redis.script("FLUSH");

    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async () => await world.outcome(session)),
    );

    expect(new Set(outcomes)).toEqual(new Set(["valid"]));
    expect((await world.revoke(session)).kind).toBe("revoked");
  });

  it("that fails before its append has changed nothing", async () => {
    const session = await world.create();
    const log = harness.keys.head(PARTITION).replace(/head$/, "log");
    await harness.redis.del(log);
    await harness.redis.set(log, "not a stream");
    const before = await harness.redis.hgetall(harness.keys.head(PARTITION));

    await expect(world.revoke(session)).rejects.toBeInstanceOf(StoreUnavailableError);

    expect(await harness.redis.hgetall(harness.keys.head(PARTITION))).toEqual(before);
    expect(await world.outcome(session)).toBe("valid");
  });

  it("that finds its partition emptied says nothing until it is opened again, FAULTS row 23", async () => {
    const session = await world.create();
    const before = await world.head();
    await harness.redis.del(harness.keys.head(PARTITION));

    const refusal: unknown = await world.validate(session).catch((error: unknown) => error);

    expect(refusal).toBeInstanceOf(StoreUnavailableError);
    expect(refusal).toMatchObject({ applied: "no" });
    expect(await world.outcome(session)).toBe("valid");
    expect((await world.head()).generation).toBeGreaterThan(before.generation);
  });

  it("of a newer schema is refused with a sentence", async () => {
    await harness.redis.hset(harness.keys.head(PARTITION), "schema", 2);

    await expect(world.head()).rejects.toBeInstanceOf(UnsupportedSchemaError);
  });

  it("opens a generation above the highest this replica has seen", async () => {
    const seen = await world.head();
    const future = seen.generation + 3_600_000_000;
    await harness.redis.hset(harness.keys.head(PARTITION), "gen", future);
    await world.head();
    await harness.redis.del(harness.keys.head(PARTITION));

    expect((await world.head()).generation).toBe(future + 1);
  });

  it("keeps sixteen forks and no more", async () => {
    for (let count = 0; count < 20; count += 1) await world.openGeneration();

    const fields = await harness.redis.hkeys(harness.keys.head(PARTITION));

    expect(fields.filter((field) => /^fork:\d+$/.test(field))).toHaveLength(16);
    const { verdict } = await world.store.log.pull(PARTITION, world.start, 10);
    expect(verdict).toBe("too-old");
  });

  it("keeps as many events as it was told, and not one more", async () => {
    const small = await createRedisHarness(inject("redisUrl"), { logRetention: 5 });
    const tiny = await World.open(async () => await Promise.resolve(small));
    for (let count = 0; count < 9; count += 1) await tiny.revokeSubject();

    const log = small.keys.head(PARTITION).replace(/head$/, "log");
    expect(await small.redis.xlen(log)).toBe(5);
    await tiny.close();
  });

  it("touches one field of one session, and the partition's time", async () => {
    const session = await world.create();
    await world.at(120_000);
    const key = harness.keys.session(PARTITION, session.sessionId);
    const before = await harness.redis.hgetall(key);

    await world.use(session);

    const after = await harness.redis.hgetall(key);
    const changed = Object.keys(after).filter((field) => after[field] !== before[field]);
    expect(changed).toEqual(["last"]);
  });
});

describe("a deployment", () => {
  it("keeps its name, and gets it back after everything was flushed", async () => {
    const harness = await createRedisHarness(inject("redisUrl"));
    const other = await createRedisHarness(inject("redisUrl"), { namespace: harness.namespace });
    try {
      const name = await harness.store.deploymentId();
      expect(await other.store.deploymentId()).toBe(name);

      await harness.redis.del(harness.keys.head(0));
      await harness.store.log.pull(0, undefined, 1);

      expect(await harness.redis.hget(harness.keys.head(0), "deployment")).toBe(name);
      expect(await harness.store.deploymentId()).toBe(name);
    } finally {
      await other.store.close();
      other.redis.disconnect();
      await harness.close();
    }
  });

  it("raises the largest staleness bound granted and never lowers it", async () => {
    const harness = await createRedisHarness(inject("redisUrl"), { maxStalenessMs: 10_000 });
    const other = await createRedisHarness(inject("redisUrl"), {
      namespace: harness.namespace,
      maxStalenessMs: 1_000,
    });
    try {
      await harness.store.log.pull(PARTITION, undefined, 1);
      await other.store.log.pull(PARTITION, undefined, 1);

      expect(await harness.redis.hget(harness.keys.head(PARTITION), "lmax")).toBe("10000");
    } finally {
      await other.store.close();
      other.redis.disconnect();
      await harness.close();
    }
  });
});
