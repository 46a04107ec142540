// The doctor, against Redis servers with each setting that it looks at.

import { Redis } from "ioredis";
import { afterEach, describe, expect, inject, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { type Finding, inspectRedis, InspectionError } from "#server/store/redis/inspect.js";

import { PARTITION, World } from "../contract/world.js";
import { freePort } from "../support/free-port.js";
import { runOperator } from "../support/operator.js";
import { createRedisHarness } from "../support/redis-harness.js";
import { type RedisServer, startRedisServer } from "../support/redis-server.js";

const url = inject("redisUrl");

const AUDIT = { method: "coatcheck.v1.SessionService/CreateSession", caller: "login" };
const TIMEOUT_MS = 30_000;
const GOOD = { appendonly: "yes", maxmemory: "64mb" };
const servers: RedisServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function start(config: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
  const server = await startRedisServer({ config: { ...GOOD, ...config } });
  servers.push(server);
  return server;
}

async function inspect(target: string, prefix = "cc:"): Promise<readonly Finding[]> {
  return await inspectRedis({ url: target, namespace: prefix, clock: systemClock });
}

/** What is not fine, as "level check". */
async function complaints(target: string, prefix?: string): Promise<readonly string[]> {
  const findings = await inspect(target, prefix);
  return findings.filter(({ level }) => level !== "ok").map((one) => `${one.level} ${one.check}`);
}

/** What a plain redis-server of a developer's machine has, whatever else is wrong. */
async function baseline(): Promise<readonly string[]> {
  return await complaints((await start()).url);
}

describe("the doctor's checks (S-36 to S-38)", { timeout: TIMEOUT_MS }, () => {
  it("refuse nothing of a Redis that is set up well", async () => {
    expect(await baseline()).not.toContainEqual(expect.stringMatching(/^refuse/));
  });

  it.each([
    ["refuse eviction-policy", { "maxmemory-policy": "allkeys-lru" }],
    ["refuse eviction-policy", { "maxmemory-policy": "volatile-ttl" }],
    ["refuse persistence", { appendonly: "no", save: "" }],
    ["warn persistence", { appendonly: "no", save: "60 1000" }],
    ["warn persistence", { appendfsync: "no" }],
    ["warn maxmemory", { maxmemory: "0" }],
    ["warn listpack", { "hash-max-listpack-value": "64" }],
    ["warn debug-command", { "enable-debug-command": "local" }],
  ])("say %s where the configuration is %j, and nothing else", async (complaint, config) => {
    const usual = await baseline();

    const found = await complaints((await start(config)).url);

    expect(found.filter((one) => !usual.includes(one))).toEqual([complaint]);
  });

  it("say of memory without a limit what becomes of it", async () => {
    const server = await start({ maxmemory: "0" });

    expect(await inspect(server.url)).toContainEqual({
      check: "maxmemory",
      level: "warn",
      detail: "no limit: the system ends Redis where memory does",
    });
  });

  it("warn of the default user, and not of one with a name", async () => {
    const server = await start();
    const redis = new Redis(server.url);
    await redis.call("ACL", "SETUSER", "rt", "on", ">secret", "~*", "&*", "+@all");
    redis.disconnect();

    expect(await complaints(server.url)).toContain("warn user");
    expect(await complaints(`redis://rt:secret@127.0.0.1:${server.port}`)).not.toContain(
      "warn user",
    );
  });

  it("say what cannot be asked for, where the user may not read the configuration", async () => {
    const server = await start({ appendonly: "no" });
    const redis = new Redis(server.url);
    await redis.call("ACL", "SETUSER", "rt", "on", ">secret", "~*", "&*", "+@all", "-config");
    redis.disconnect();

    expect(await complaints(`redis://rt:secret@127.0.0.1:${server.port}`)).toEqual(
      expect.arrayContaining(["warn persistence", "warn listpack", "warn debug-command"]),
    );
    await server.stop();
    const durable = await start();
    const admin = new Redis(durable.url);
    await admin.call("ACL", "SETUSER", "rt", "on", ">secret", "~*", "&*", "+@all", "-config");
    admin.disconnect();
    expect(await complaints(`redis://rt:secret@127.0.0.1:${durable.port}`)).toContain(
      "warn persistence",
    );
  });

  it("look through a user whose password needs escapes in a URL", async () => {
    const password = "p@ss:w/rd#%?";
    const server = await start();
    const redis = new Redis(server.url);
    await redis.call("ACL", "SETUSER", "rt", "on", `>${password}`, "~*", "&*", "+@all");
    redis.disconnect();
    const target = `redis://rt:${encodeURIComponent(password)}@127.0.0.1:${server.port}`;

    expect(await inspect(target)).toContainEqual({ check: "user", level: "ok", detail: "rt" });
  });

  it("fail with what Redis said where it lets nobody in", async () => {
    const server = await start({ requirepass: "hunter2" });

    await expect(inspect(`redis://127.0.0.1:${server.port}`)).rejects.toThrow(
      "Cannot look at Redis: it answered NOAUTH",
    );
    await expect(inspect(`redis://:hunter3@127.0.0.1:${server.port}`)).rejects.toThrow(
      "Cannot look at Redis: it answered WRONGPASS",
    );
  });

  it("fail in bounded time where Redis has stopped and its port still takes connections", async () => {
    const server = await start();
    process.kill(server.pid, "SIGSTOP");

    await expect(inspect(server.url)).rejects.toThrow(InspectionError);
    process.kill(server.pid, "SIGCONT");
  });

  it("refuse a replica, and warn of a primary that writes without its replicas", async () => {
    const primary = await start();
    const replica = await start({ replicaof: `127.0.0.1 ${primary.port}` });
    await replicated(primary);

    expect(await complaints(replica.url)).toContain("refuse role");
    expect(await complaints(primary.url)).toContain("warn replicas");
  });

  it("refuse data of a newer server", async () => {
    const server = await start();
    const redis = new Redis(server.url);
    await redis.hset("cc:{3r}:head", "schema", "2");
    redis.disconnect();

    expect(await complaints(server.url)).toContain("refuse schema");
  });

  it("say of a clock that it is off, from a second on", async () => {
    const server = await start();
    const findings = await inspectRedis({
      url: server.url,
      namespace: "cc:",
      clock: { ...systemClock, wallMs: () => systemClock.wallMs() - 1_000 },
    });

    const farOff = await inspectRedis({
      url: server.url,
      namespace: "cc:",
      clock: { ...systemClock, wallMs: () => systemClock.wallMs() + 3_700_000 },
    });

    expect(findings).toContainEqual(expect.objectContaining({ check: "clock", level: "warn" }));
    expect(farOff).toContainEqual(expect.objectContaining({ check: "clock", level: "refuse" }));
    expect(await complaints(server.url)).not.toContainEqual(expect.stringContaining("clock"));
  });

  it("fail with a sentence that holds nothing of the URL where Redis is away (I-15)", async () => {
    const target = `redis://rt:hunter2@127.0.0.1:${await freePort()}`;

    const failing = inspect(target);

    await expect(failing).rejects.toThrow(InspectionError);
    await expect(failing).rejects.not.toThrow(/hunter2|127\.0\.0\.1/);
  });
});

describe("the chain of the audit trail (S-45)", { timeout: TIMEOUT_MS }, () => {
  /** A trail of five changes in one partition, tampered with, then inspected. */
  async function tamper(
    change: (redis: Redis, stream: string, ids: readonly string[]) => Promise<unknown>,
  ): Promise<readonly string[]> {
    const harness = await createRedisHarness(url);
    const world = await World.open(async () => await Promise.resolve(harness));
    try {
      for (let at = 0; at < 5; at += 1) {
        await world.at(at);
        await world.create({ audit: { ...AUDIT, caller: `kellner-ß-${at}` } });
      }
      const stream = harness.keys.head(PARTITION).replace(/head$/, "audit");
      const entries = await harness.redis.xrange(stream, "-", "+");
      await change(
        harness.redis,
        stream,
        entries.map(([id]) => id),
      );
      const found = await inspect(url, harness.namespace);
      return found.filter(({ check }) => check === "audit-chain").map(({ level }) => level);
    } finally {
      await world.close();
    }
  }

  it("fits where nobody touched it, evictions, other alphabets and trimming included", async () => {
    expect(await tamper(() => Promise.resolve())).toEqual(["ok"]);
    expect(await tamper(async (redis, stream) => await redis.xtrim(stream, "MAXLEN", 2))).toEqual([
      "ok",
    ]);
  });

  it("breaks where an entry was taken out from between", async () => {
    expect(
      await tamper(async (redis, stream, ids) => await redis.xdel(stream, ids[2] ?? "")),
    ).toEqual(["refuse"]);
  });

  it("breaks where the newest entry was taken out", async () => {
    expect(
      await tamper(async (redis, stream, ids) => await redis.xdel(stream, ids.at(-1) ?? "")),
    ).toEqual(["refuse"]);
  });

  it("breaks where the whole trail was taken away", async () => {
    expect(await tamper(async (redis, stream) => await redis.del(stream))).toEqual(["refuse"]);
  });

  it("breaks where an entry was edited in place", async () => {
    const rewritten = await tamper(async (redis, stream) => {
      const entries = await redis.xrange(stream, "-", "+");
      await redis.del(stream);
      for (const [index, [id, fields]] of entries.entries()) {
        const edited = index === 2 ? fields.map((text) => text.replace("kellner", "gast")) : fields;
        await redis.xadd(stream, id, ...edited);
      }
    });

    expect(rewritten).toEqual(["refuse"]);
  });

  it("breaks where an entry was put in", async () => {
    const forged = await tamper(async (redis, stream) => {
      await redis.xadd(stream, "*", "method", "nothing happened", "chain", "0".repeat(40));
    });

    expect(forged).toEqual(["refuse"]);
  });
});

describe("coatcheck doctor", { timeout: TIMEOUT_MS }, () => {
  it("exits 0 with a table where nothing is refused, 1 for a warning with --strict", async () => {
    const env = { COATCHECK_REDIS_URL: (await start()).url };

    const [run, strict] = await Promise.all([
      runOperator(["doctor"], env),
      runOperator(["--json", "doctor", "--strict"], env),
    ]);

    expect(run).toMatchObject({ code: 0, stderr: "" });
    expect(run.stdout).toMatch(/^LEVEL +CHECK +DETAIL/);
    expect(run.stdout).toMatch(/ok +eviction-policy +noeviction/);
    expect(strict.code).toBe(1);
    expect(JSON.parse(strict.stdout)).toContainEqual({
      level: "ok",
      check: "eviction-policy",
      detail: "noeviction",
    });
  });

  it("exits 1 and names what is refused", async () => {
    const server = await start({ "maxmemory-policy": "allkeys-lru", appendonly: "no" });

    expect(await runOperator(["doctor"], { COATCHECK_REDIS_URL: server.url })).toMatchObject({
      code: 1,
      stderr: "Not fit for sessions: eviction-policy, persistence\n",
    });
  });

  it("exits 2 for a URL that is none, and shows nothing of it (I-15)", async () => {
    const run = await runOperator(["doctor"], {
      COATCHECK_REDIS_URL: "redis://rt:hunter2@127.0.0.1/nonsense",
    });

    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).toMatch(/^Cannot read the Redis URL: [^\n]*\n$/);
    expect(run.stderr).not.toContain("hunter2");
  });

  it("exits 3 where Redis is away, and shows nothing of the password (I-15)", async () => {
    const target = `redis://rt:hunter2@127.0.0.1:${await freePort()}`;

    const run = await runOperator(["doctor"], { COATCHECK_REDIS_URL: target });

    expect(run).toMatchObject({ code: 3, stdout: "" });
    expect(run.stderr).toBe("Cannot reach Redis: there is no connection (ECONNREFUSED)\n");
  });
});

async function replicated(primary: RedisServer): Promise<void> {
  const redis = new Redis(primary.url);
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await redis.info("replication")).includes("state=online")) break;
    await redis.wait(1, 50);
  }
  redis.disconnect();
}
