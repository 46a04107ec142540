import { acquireRedis, TestRedisMissing, type AcquiredRedis } from "./acquire-redis.js";

declare module "vitest" {
  /** What `inject()` gives to the tests of the projects that use Redis. */
  interface ProvidedContext {
    /** The one real Redis of this run. Others use it too: take a fresh prefix, never flush. */
    redisUrl: string;
  }
}

interface ProvidingProject {
  provide(key: "redisUrl", value: string): void;
}

interface Shared {
  users: number;
  readonly redis: Promise<AcquiredRedis>;
}

// Every project loads this module for itself, but they are to share one Redis.
const holder = globalThis as { coatcheckTestRedis?: Shared | undefined };

/** Runs once in each project that uses Redis, before its tests. */
export async function setup(project: ProvidingProject): Promise<void> {
  const shared = (holder.coatcheckTestRedis ??= { users: 0, redis: acquireRedis() });
  shared.users += 1;
  try {
    project.provide("redisUrl", (await shared.redis).url);
  } catch (error) {
    if (!(error instanceof TestRedisMissing)) throw error;
    // Thrown, it would be printed twice with a stack, below "no test files found".
    process.stderr.write(`\n${error.message}\n`);
    process.exit(1);
  }
}

/** Runs once in each project that uses Redis, after its tests. */
export async function teardown(): Promise<void> {
  const shared = holder.coatcheckTestRedis;
  if (shared === undefined) return;
  shared.users -= 1;
  if (shared.users > 0) return;
  holder.coatcheckTestRedis = undefined;
  await (await shared.redis).release();
}
