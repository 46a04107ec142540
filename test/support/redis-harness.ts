import { Redis } from "ioredis";

import { systemClock } from "#server/base/clock.js";
import { randomBase62 } from "#server/base/random.js";
import { createKeySpace, type KeySpace } from "#server/store/redis/keys.js";
import { createRedisStore, type RedisStoreOptions } from "#server/store/redis/redis-store.js";

import type { StoreHarness } from "../contract/harness.js";

/** A Redis store in a namespace of its own, with a plain connection beside it. */
export interface RedisHarness extends StoreHarness {
  readonly redis: Redis;
  readonly keys: KeySpace;
  readonly namespace: string;
}

/** Starts a Redis store that shares nothing with any other. Its reaper is off. */
export async function createRedisHarness(
  url: string,
  options: Partial<RedisStoreOptions> = {},
): Promise<RedisHarness> {
  const namespace = options.namespace ?? `t${randomBase62(10)}:`;
  const keys = createKeySpace(namespace);
  const store = createRedisStore({
    clock: systemClock,
    maxStalenessMs: 3_000,
    logRetention: 10_000,
    // A busy test machine pauses for longer than production should wait.
    commandTimeoutMs: 5_000,
    reapIntervalMs: 0,
    pubSub: false,
    ...options,
    url,
    namespace,
  });
  const redis = new Redis(url);
  redis.on("error", () => undefined);
  await store.start();
  return {
    store,
    redis,
    keys,
    namespace,
    setNow: async (partition, nowMs) => {
      await redis.hset(keys.head(partition), "now", nowMs);
    },
    openGeneration: async (partition, { lostEvents }) => {
      const head = keys.head(partition);
      const log = head.replace(/head$/, "log");
      const generation = await redis.hget(head, "gen");
      const newest = await redis.xrevrange(
        log,
        "+",
        `${String(generation)}-0`,
        "COUNT",
        lostEvents,
      );
      if (lostEvents > 0 && newest.length > 0) {
        await redis.xdel(log, ...newest.map(([id]) => id));
        await redis.hincrby(head, "seq", -newest.length);
      }
      // As another primary would have it.
      await redis.hset(head, "rid", "another");
      await store.log.pull(partition, undefined, 1);
    },
    close: async () => {
      await store.close();
      await removeNamespace(redis, namespace);
      redis.disconnect();
    },
  };
}

async function removeNamespace(redis: Redis, namespace: string): Promise<void> {
  if (redis.status !== "ready") return;
  const keys = await keysOf(redis, namespace);
  if (keys.length > 0) await redis.unlink(...keys);
}

/** Every key of a namespace. */
export async function keysOf(redis: Redis, namespace: string): Promise<readonly string[]> {
  const found: string[] = [];
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "MATCH", `${namespace}*`, "COUNT", 1_000);
    found.push(...keys);
    cursor = next;
  } while (cursor !== "0");
  return found;
}
