// Redis only: what the store does while Redis is away, and what it believes afterwards.

import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { PARTITION_COUNT } from "#server/session/partition.js";
import type { Revision } from "#server/session/revision.js";
import { mintSessionId } from "#server/session/token.js";
import type { RedisStoreOptions } from "#server/store/redis/redis-store.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { PARTITION, World } from "../contract/world.js";
import { eventually } from "../support/eventually.js";
import { createRedisHarness, type RedisHarness } from "../support/redis-harness.js";
import { startRedisServer, type RedisServer } from "../support/redis-server.js";

const PERSISTENT = { appendonly: "yes", appendfsync: "always" };

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startServer(config: Record<string, string> = {}): Promise<RedisServer> {
  const server = await startRedisServer({ config });
  cleanups.push(async () => {
    await server.stop();
  });
  return server;
}

async function startWorld(
  url: string,
  options: Partial<RedisStoreOptions> = {},
): Promise<{ harness: RedisHarness; world: World }> {
  const harness = await createRedisHarness(url, options);
  cleanups.push(async () => {
    await harness.store.close();
    harness.redis.disconnect();
  });
  return { harness, world: await World.open(async () => await Promise.resolve(harness)) };
}

async function pullOf(world: World, from: Revision): Promise<string> {
  return (await world.store.log.pull(PARTITION, from, 100)).verdict;
}

describe("a Redis that was killed and started again", () => {
  it("fails calls while it is away and serves again by itself, FAULTS row 5", async () => {
    const server = await startServer(PERSISTENT);
    const { world } = await startWorld(server.url);
    const session = await world.create();

    await server.kill();
    const failures = await eventually(async () => {
      const errors = await Promise.all([
        world.validate(session).catch((error: unknown) => error),
        world.revoke(session).catch((error: unknown) => error),
        world.store.log.pull(PARTITION, undefined, 1).catch((error: unknown) => error),
      ]);
      return errors.every(
        (error) => error instanceof StoreUnavailableError && error.applied === "no",
      )
        ? errors
        : undefined;
    });
    expect(failures).toHaveLength(3);
    await server.start();

    expect(await eventually(async () => await world.outcome(session))).toBe("valid");
  });

  it("knows that nothing was applied where no partition was open yet (R5)", async () => {
    const server = await startServer(PERSISTENT);
    const { harness, world } = await startWorld(server.url, { commandTimeoutMs: 100 });
    const elsewhere = mintSessionId((PARTITION + 1) % PARTITION_COUNT);
    await harness.redis.call("CLIENT", "PAUSE", "500", "ALL");

    const [unopened, open] = await Promise.all(
      [{ sessionId: elsewhere, subject: "" }, {}].map(
        async (command) => await world.tryCreate(command).catch((reason: unknown) => reason),
      ),
    );

    expect(unopened).toMatchObject({ name: "StoreUnavailableError", applied: "no" });
    expect(open).toMatchObject({ name: "StoreUnavailableError", applied: "unknown" });
  });

  it("goes on in a new generation, from which old positions are judged, FAULTS row 18", async () => {
    const server = await startServer(PERSISTENT);
    const { world } = await startWorld(server.url);
    await world.revokeSubject();
    await world.revokeSubject();
    const before = await world.head();

    await server.restart();
    const after = await eventually(async () => await world.head());

    expect(after.generation).toBeGreaterThan(before.generation);
    expect(after.sequence).toBe(0);
    expect(await pullOf(world, before)).toBe("continue");
    expect(await pullOf(world, { ...before, sequence: 1 })).toBe("continue");
    expect(await pullOf(world, { ...before, sequence: 3 })).toBe("history-forked");
    expect(await pullOf(world, { ...after, sequence: 1 })).toBe("behind");
  });

  it("answers no validation as of the old generation", async () => {
    const server = await startServer(PERSISTENT);
    const { world } = await startWorld(server.url);
    const session = await world.create();
    const before = await world.head();

    await server.restart();
    const reply = await eventually(async () => await world.validate(session));

    expect(reply.outcome).toBe("valid");
    expect(reply.asOf.generation).toBeGreaterThan(before.generation);
  });

  it("that came back empty has never an accepted old position, FAULTS row 23", async () => {
    const server = await startServer();
    const { world, harness } = await startWorld(server.url);
    const name = await harness.store.deploymentId();
    const session = await world.create();
    await world.revokeSubject();
    const before = await world.head();

    await server.restart();

    expect(await eventually(async () => await world.outcome(session))).toBe("not-found");
    expect(await pullOf(world, before)).toBe("too-old");
    expect((await world.head()).generation).toBeGreaterThan(before.generation);
    expect(await harness.store.deploymentId()).toBe(name);
  });
});

describe("a store that starts while Redis is away", () => {
  it("fails calls and serves once Redis is there", async () => {
    const server = await startServer();
    await server.kill();

    const harness = await createRedisHarness(server.url);
    cleanups.push(async () => {
      await harness.store.close();
      harness.redis.disconnect();
    });
    await expect(harness.store.log.pull(PARTITION, undefined, 1)).rejects.toMatchObject({
      name: "StoreUnavailableError",
      applied: "no",
    });
    await server.start();

    const { head } = await eventually(
      async () => await harness.store.log.pull(PARTITION, undefined, 1),
    );
    expect(head.sequence).toBe(0);
  });
});

describe("a connection that breaks", () => {
  async function startProxied(
    options: Partial<RedisStoreOptions> = {},
  ): Promise<{ proxy: CutProxy; world: World; harness: RedisHarness; direct: Redis }> {
    const server = await startServer();
    const direct = new Redis(server.url);
    cleanups.push(async () => {
      direct.disconnect();
      await Promise.resolve();
    });
    const proxy = await startCutProxy({ targetPort: server.port });
    cleanups.push(async () => {
      await proxy.close();
    });
    return { proxy, direct, ...(await startWorld(`redis://${proxy.address}`, options)) };
  }

  it("in the middle of a mutation leaves it unknown, and a repeat settles it, FAULTS row 13", async () => {
    const { proxy, world, harness, direct } = await startProxied();
    const log = harness.keys.head(PARTITION).replace(/head$/, "log");
    const session = await world.create();
    const request = { key: "k".repeat(22), argumentsDigest: "a" };

    proxy.stall("server-to-client");
    const attempt = world.revoke(session, { request }).catch((error: unknown) => error);
    await eventually(async () => (await direct.exists(log)) === 1);
    proxy.cut();
    const failure = await attempt;
    proxy.heal();
    const repeat = await eventually(async () => await world.revoke(session, { request }));

    expect(failure).toMatchObject({ name: "StoreUnavailableError", applied: "unknown" });
    expect(repeat.kind).toBe("revoked");
    expect((await world.events()).filter(({ kind }) => kind === "revoked")).toHaveLength(1);
  });

  it("by answering nothing fails calls in time and is replaced", async () => {
    const { proxy, world } = await startProxied({ commandTimeoutMs: 50 });
    const session = await world.create();

    proxy.blackhole();
    const failure: unknown = await world.validate(session).catch((error: unknown) => error);
    const accepted = proxy.acceptedCount;
    await eventually(async () => {
      await world.validate(session).catch(() => undefined);
      return proxy.acceptedCount > accepted;
    });
    proxy.heal();

    expect(failure).toMatchObject({ name: "StoreUnavailableError", applied: "unknown" });
    expect(await eventually(async () => await world.outcome(session))).toBe("valid");
  });

  it("and comes back at once answers nothing before a pull has succeeded on it", async () => {
    const { proxy, world, harness } = await startProxied();
    const session = await world.create();
    const before = await world.head();
    // As if the new connection led to another primary.
    await harness.redis.hset(harness.keys.head(PARTITION), "rid", "another");

    proxy.resetAll();
    const reply = await eventually(async () => await world.validate(session));

    expect(reply.asOf.generation).toBeGreaterThan(before.generation);
  });
});

describe("a replica", () => {
  it("is refused, for validations too, FAULTS row 7", async () => {
    const primary = await startServer({ "repl-diskless-sync-delay": "0" });
    const replica = await startServer();
    const { world } = await startWorld(primary.url);
    const session = await world.create();
    const namespace = (await keysOfPrimary(primary.url))[0]?.split("{")[0] ?? "";
    const admin = new Redis(replica.url);
    cleanups.push(async () => {
      admin.disconnect();
      await Promise.resolve();
    });
    await admin.replicaof("127.0.0.1", primary.port);
    await eventually(async () => (await admin.dbsize()) > 0);

    const harness = await createRedisHarness(replica.url, { namespace });
    cleanups.push(async () => {
      await harness.store.close();
      harness.redis.disconnect();
    });

    await expect(
      harness.store.sessions.validate(world.validateCommand(session)),
    ).rejects.toMatchObject({ name: "StoreUnavailableError", applied: "no" });
  });

  it("that an open connection was demoted to is refused", async () => {
    const primary = await startServer();
    const other = await startServer();
    const { world, harness } = await startWorld(primary.url);
    const session = await world.create();
    expect(await world.outcome(session)).toBe("valid");

    await harness.redis.replicaof("127.0.0.1", other.port);

    await expect(world.validate(session)).rejects.toBeInstanceOf(StoreUnavailableError);
  });
});

async function keysOfPrimary(url: string): Promise<readonly string[]> {
  const redis = new Redis(url);
  const keys = await redis.keys("*");
  redis.disconnect();
  return keys;
}
