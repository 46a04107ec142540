// Redis only: every script touches one slot, and three nodes prove it.

import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { PARTITION_COUNT, subjectPartition } from "#server/session/partition.js";
import { mintSessionId } from "#server/session/token.js";
import { inspectRedis } from "#server/store/redis/inspect.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";
import type { Store } from "#server/store/store.js";

import type { StoreHarness } from "../contract/harness.js";
import { cause, freshDigest, request, TENANT, World } from "../contract/world.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { startRedisServer, type RedisServer } from "../support/redis-server.js";

const RANGES = [
  [0, 5_460],
  [5_461, 10_922],
  [10_923, 16_383],
] as const;

describe("a cluster of three", () => {
  const servers: RedisServer[] = [];
  const admins: Redis[] = [];
  let store: Store;

  beforeAll(async () => {
    const busPorts: number[] = [];
    for (const [first, last] of RANGES) {
      const busPort = await freePort();
      const server = await startRedisServer({
        config: { "cluster-enabled": "yes", "cluster-port": String(busPort) },
      });
      const admin = new Redis(server.url);
      await admin.cluster("ADDSLOTSRANGE", first, last);
      await admin.cluster("SET-CONFIG-EPOCH", servers.length + 1);
      servers.push(server);
      admins.push(admin);
      busPorts.push(busPort);
    }
    for (const [index, { port }] of servers.entries()) {
      await admins[0]?.call("CLUSTER", "MEET", "127.0.0.1", port, busPorts[index] ?? 0);
    }
    await eventually(
      async () => {
        const infos = await Promise.all(admins.map(async (admin) => await admin.cluster("INFO")));
        return infos.every(
          (info) => info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3"),
        );
      },
      { timeoutMs: 20_000 },
    );
    store = createRedisStore({
      url: `redis+cluster://127.0.0.1:${servers[0]?.port ?? 0}`,
      clock: systemClock,
      maxStalenessMs: 3_000,
      logRetention: 1_000,
      commandTimeoutMs: 5_000,
      reapIntervalMs: 0,
    });
    await store.start();
  }, 40_000);

  afterAll(async () => {
    await store.close();
    for (const admin of admins) admin.disconnect();
    for (const server of servers) await server.stop();
  });

  it("serves every partition, each from the node of its slot", async () => {
    const deployment = await store.deploymentId();

    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      const world = await World.open(async () => await Promise.resolve(harnessOf(store)));
      const command = world.createCommand({
        sessionId: mintSessionId(partition),
        subject: subjectOf(partition),
        request: request(`create-${partition}`),
      });
      const created = await store.sessions.create(command);
      const repeat = await store.sessions.create(command);
      if (created.kind !== "created") expect.fail(created.kind);
      expect(repeat).toMatchObject({ repeated: true, sessionId: created.sessionId });
      expect(await world.outcome(created, { touch: true })).toBe("valid");
      expect(
        await store.sessions.validateBatch(partition, [
          world.validateCommand(created),
          world.validateCommand({
            sessionId: mintSessionId(partition),
            tokenDigest: freshDigest(),
          }),
        ]),
      ).toMatchObject([{ outcome: "valid" }, { outcome: "not-found" }]);
      const successor = await world.rotate(created, "login");
      const listed = await store.sessions.list({
        tenantId: TENANT,
        subject: subjectOf(partition),
        limit: 10,
        after: undefined,
      });
      expect(listed.records).toHaveLength(1);
      expect((await world.revoke(successor)).kind).toBe("revoked");
      expect(await world.outcome(successor)).toBe("revoked");
      expect((await store.log.pull(partition, created.revision, 10)).events).toHaveLength(2);
      expect(await store.sessions.reap(partition, 10)).toBe(0);
    }

    expect(deployment).toHaveLength(22);
    const sizes = await Promise.all(admins.map(async (admin) => await admin.dbsize()));
    expect(Math.min(...sizes)).toBeGreaterThan(0);
  });

  it("is looked at by the doctor node by node, and its data as one", async () => {
    const findings = await inspectRedis({
      url: `redis+cluster://127.0.0.1:${servers[0]?.port ?? 0}`,
      namespace: "cc:",
      clock: systemClock,
    });

    const evictions = findings.filter(({ check }) => check === "eviction-policy");
    expect(evictions.map(({ detail }) => detail).sort()).toEqual(
      servers.map(({ port }) => `127.0.0.1:${port}: noeviction`).sort(),
    );
    expect(findings.filter(({ check }) => check === "schema")).toHaveLength(1);
  });

  it("tells of news on whichever node they happened", async () => {
    const nudged = new Set<number>();
    const unsubscribe = store.log.onNudge((partition) => nudged.add(partition));

    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      await eventually(async () => {
        await store.sessions.revokeScope({
          partition,
          scope: { kind: "all" },
          cause: cause(),
          request: undefined,
          eventId: `all-${partition}`,
        });
        return nudged.has(partition);
      });
    }

    unsubscribe();
    expect(nudged.size).toBe(PARTITION_COUNT);
  });
});

/** What `World` needs of a harness where time is not set. */
function harnessOf(store: Store): StoreHarness {
  return {
    store,
    setNow: async () => {
      await Promise.resolve();
    },
    openGeneration: async () => {
      await Promise.resolve();
    },
    close: async () => {
      await Promise.resolve();
    },
  };
}

/** Any subject whose sessions are in a partition. */
function subjectOf(partition: number): string {
  for (let number = 0; ; number += 1) {
    if (subjectPartition(TENANT, `s${number}`) === partition) return `s${number}`;
  }
}
