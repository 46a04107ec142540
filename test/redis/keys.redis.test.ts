// Redis only: names and slots of keys, and what is in them.

import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { createKeySpace, HASH_TAGS } from "#server/store/redis/keys.js";

import { PARTITION, request, START_MS, World } from "../contract/world.js";
import { createRedisHarness, keysOf, type RedisHarness } from "../support/redis-harness.js";

const SLOTS = 16_384;

describe("the hash tags", () => {
  it("are sixteen, one in each sixteenth of the slots", () => {
    const sixteenths = HASH_TAGS.map((tag) => Math.floor((slotOf(tag) * 16) / SLOTS));

    expect(sixteenths).toEqual(Array.from({ length: 16 }, (_, index) => index));
  });

  it("give the slots that Redis computes", async () => {
    const harness = await createRedisHarness(inject("redisUrl"));
    try {
      const { redis, keys } = harness;
      // Not in cluster mode Redis refuses the command, and then the vector below decides.
      const answers = await Promise.allSettled(
        HASH_TAGS.map((_, partition) => redis.cluster("KEYSLOT", keys.head(partition))),
      );

      for (const [partition, answer] of answers.entries()) {
        if (answer.status === "fulfilled")
          expect(answer.value).toBe(slotOf(HASH_TAGS[partition] ?? ""));
      }
      // From the cluster specification.
      expect(slotOf("123456789")).toBe(0x31c3);
    } finally {
      await harness.close();
    }
  });
});

describe("a namespace", () => {
  it.each(["a{b}:", "a b:", "{"])("%j is refused", (namespace) => {
    expect(() => createKeySpace(namespace)).toThrow("no braces and no spaces");
  });
});

describe("the keys of a deployment", () => {
  let harness: RedisHarness;
  let world: World;

  beforeEach(async () => {
    harness = await createRedisHarness(inject("redisUrl"));
    world = await World.open(async () => await Promise.resolve(harness));
  });

  afterEach(async () => {
    await world.close();
  });

  it("begin with the namespace and the tag of one partition", async () => {
    await liveALife(world);

    const names = await keysOf(harness.redis, harness.namespace);

    const prefix = `${harness.namespace}{${String(HASH_TAGS[PARTITION])}}:`;
    const kinds = names.map((name) => name.slice(prefix.length).split(":")[0]);
    expect(names.filter((name) => !name.startsWith(prefix))).toEqual([]);
    expect(new Set(kinds)).toEqual(new Set(["head", "log", "s", "u", "x", "r", "c"]));
  });

  it("hold no number in floating-point notation, at a generation of 16 digits", async () => {
    await liveALife(world);
    const head = await harness.redis.hgetall(harness.keys.head(PARTITION));

    expect(head["gen"]).toMatch(/^\d{16}$/);
    for (const text of await everythingStored(harness)) {
      expect(text).not.toMatch(/\d(\.\d+)?e\+\d/);
    }
  });

  it("are all that one session takes: no id is in an index without its record", async () => {
    const { sessionId } = await world.create();

    const names = await keysOf(harness.redis, harness.namespace);

    const kinds = names.map((name) => name.slice(name.indexOf("}") + 2).split(":")[0]);
    expect(kinds.sort()).toEqual(["c", "head", "s", "u", "x"]);
    expect(names.filter((name) => name.includes(sessionId))).toHaveLength(1);
  });

  it("lose a revoked id from its index at once, and with the last one the subject's cutoff", async () => {
    const first = await world.create();
    const second = await world.create();
    await world.revokeSubject({ exceptSessionId: second.sessionId });
    async function index(): Promise<readonly string[]> {
      return (await keysOf(harness.redis, harness.namespace)).filter((key) => key.includes(":u:"));
    }
    const [name = ""] = await index();

    await world.revoke(second);
    expect(await harness.redis.zrange(name, "0", "-1")).toEqual([first.sessionId]);
    // The first has ended by the cutoff alone; its end is written, and its id goes.
    await world.store.sessions.reap(PARTITION, 10);
    await world.at(3_600_000);
    await world.store.sessions.reap(PARTITION, 10);

    expect(await index()).toEqual([]);
    const fields = await harness.redis.hkeys(harness.keys.head(PARTITION));
    expect(fields.filter((field) => field.startsWith("cut:s:"))).toEqual([]);
  });

  it("stop counting a session for its tenant once, whether its end or its record went first", async () => {
    const ended = await world.create();
    const lost = await world.create();
    const counters = harness.keys.head(PARTITION).replace(/head$/, "c");
    async function counts(): Promise<readonly string[]> {
      return await harness.redis.hvals(counters);
    }
    expect(await counts()).toEqual(["2"]);

    await world.revoke(ended);
    expect(await counts()).toEqual(["1"]);
    // As Redis does when nobody reaped for as long as the retention is.
    await harness.redis.del(harness.keys.session(PARTITION, ended.sessionId));
    await harness.redis.del(harness.keys.session(PARTITION, lost.sessionId));
    await world.at(86_400_000);
    await world.store.sessions.reap(PARTITION, 10);

    expect(await counts()).toEqual([]);
  });

  it("never count below zero a session that an older server queued uncounted", async () => {
    const session = await world.create();
    const queue = harness.keys.head(PARTITION).replace(/head$/, "x");
    const counters = harness.keys.head(PARTITION).replace(/head$/, "c");
    const [member = ""] = await harness.redis.zrange(queue, "0", "-1");
    await harness.redis.zrem(queue, member);
    await harness.redis.zadd(queue, "0", member.replace(/:[^:]*$/, ""));
    await harness.redis.del(counters);

    await world.revoke(session);
    await world.at(86_400_000);
    await world.store.sessions.reap(PARTITION, 10);

    expect(await harness.redis.exists(counters, queue)).toBe(0);
  });

  it("make room for client cutoffs when those before cover nothing any more", async () => {
    await world.create({ policy: { absoluteTimeoutMs: 60_000 } });
    await world.revokeTenant({ clientId: "web" });
    await world.revokeTenant({ clientId: "app", createdBeforeMs: START_MS });
    const head = harness.keys.head(PARTITION);
    async function counts(): Promise<readonly string[]> {
      const fields = Object.entries(await harness.redis.hgetall(head));
      return fields.filter(([field]) => field.startsWith("cutn:")).map(([, count]) => count);
    }
    expect(await counts()).toEqual(["2"]);

    await world.at(60_001);
    await world.store.sessions.reap(PARTITION, 10);

    expect(await counts()).toEqual([]);
  });

  it("remember a request for ten minutes of the partition's time, and not one more", async () => {
    const session = await world.create({ policy: { idleTimeoutMs: 0 } });
    await world.update(session, { request: request("update") });

    await world.at(599_999);
    const repeat = await world.update(session, { request: request("update") });
    await world.at(600_000);
    const late = await world.update(session, { request: request("update") });

    expect(repeat.kind).toBe("updated");
    expect(late).toEqual({ kind: "version-conflict", version: 2 });
  });

  it("expire only after the absolute deadline and the longer of retention and recovery", async () => {
    const { sessionId } = await world.create({
      policy: { absoluteTimeoutMs: 60_000, retentionMs: 5_000, recoveryWindowMs: 7_000 },
    });
    const key = harness.keys.session(PARTITION, sessionId);

    await world.revoke({ sessionId });

    expect(await harness.redis.pexpiretime(key)).toBe(START_MS + 67_000);
  });

  it("keep an index clean whose record the TTL took before the reaper came", async () => {
    const { sessionId } = await world.create();
    await world.revokeSubject();
    await harness.redis.del(harness.keys.session(PARTITION, sessionId));

    await world.at(10 * 24 * 3_600_000);
    await world.store.sessions.reap(PARTITION, 10);

    const names = await keysOf(harness.redis, harness.namespace);
    const head = await harness.redis.hkeys(harness.keys.head(PARTITION));
    expect(names.some((name) => name.includes(":u:"))).toBe(false);
    expect(head.filter((field) => field.startsWith("cut:"))).toEqual([]);
  });

  it("tell the memory that a session of 700 bytes takes", async () => {
    const { sessionId } = await world.create({
      policy: { binding: { ipAddress: "warn", userAgent: "enforce", deviceId: "off" } },
      facts: Buffer.alloc(700, 1),
    });
    const key = harness.keys.session(PARTITION, sessionId);

    const bytes = Number(await harness.redis.memory("USAGE", key));
    const encoding = await harness.redis.object("ENCODING", key);

    process.stdout.write(`a session with 700 B of facts: ${bytes} B as ${String(encoding)}\n`);
    expect(bytes).toBeGreaterThan(700);
  });
});

/** Everything that can be in the data, once. */
async function liveALife(world: World): Promise<void> {
  const first = await world.create({ request: request("create"), recoveryDigest: "ab".repeat(32) });
  const second = await world.rotate(first, "periodic", { request: request("rotate") });
  const third = await world.rotate(second, "login");
  await world.update(first, { invalidateCaches: true, request: request("update") });
  await world.use(third);
  await world.create({ subject: "" });
  await world.openGeneration(1);
  await world.revoke(third, { request: request("revoke") });
  await world.create();
  await world.revokeSubject({ request: request("scope") });
  await world.revokeTenant({ clientId: "web" });
  await world.revokeTenant({ createdBeforeMs: START_MS });
  await world.store.sessions.reap(PARTITION, 100);
}

/** Every value and field of every key, as text. */
async function everythingStored({ redis, namespace }: RedisHarness): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const key of await keysOf(redis, namespace)) {
    switch (await redis.type(key)) {
      case "hash":
        texts.push(...Object.entries(await redis.hgetall(key)).flat());
        break;
      case "zset":
        texts.push(...(await redis.zrange(key, "0", "-1", "WITHSCORES")));
        break;
      case "string":
        texts.push((await redis.get(key)) ?? "");
        break;
      case "stream":
        texts.push(...(await redis.xrange(key, "-", "+")).flat(2));
        break;
      default:
        expect.fail(`${key} is of an unknown type`);
    }
  }
  return texts;
}

/** CRC-16/XMODEM, as the cluster specification says. */
function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff;
    }
  }
  return crc % SLOTS;
}
