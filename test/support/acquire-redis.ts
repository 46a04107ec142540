// The suite runs against a real Redis or not at all. The ways to one, in order:
//
//   1. COATCHECK_TEST_REDIS_URL: somebody chose it, so it is used or the run fails
//   2. a container, where an engine answers and the image starts
//   3. a local redis-server, started on a free port
//   4. on Debian as root, the same after apt-get install redis-server

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Redis } from "ioredis";

import { startRedisServer } from "./redis-server.js";

/** A Redis that answers, and the way to give it back. */
export interface AcquiredRedis {
  readonly url: string;
  /** How it was found, for people. */
  readonly way: string;
  release(): Promise<void>;
}

const IMAGE = "redis:7-alpine";
/** Pulling and starting the image; a registry that hangs must not hang the suite. */
const CONTAINER_TIMEOUT_MS = 90_000;
const APT_TIMEOUT_MS = 300_000;
/** The first version whose scripts take `#!lua` flags. */
const REDIS_MAJOR_MIN = 7;

/** Finds a Redis, says which way on standard output, or throws one sentence. */
export async function acquireRedis(): Promise<AcquiredRedis> {
  const redis = (await fromEnvironment()) ?? (await fromContainer()) ?? (await fromLocalServer());
  if (redis === undefined) {
    throw new TestRedisMissing(
      "The tests need a real Redis 7 or later: install redis-server, start Docker, or set COATCHECK_TEST_REDIS_URL",
    );
  }
  process.stdout.write(`Redis: ${redis.way}\n`);
  return redis;
}

/** The suite cannot run here. The message is one sentence that says what to do about it. */
export class TestRedisMissing extends Error {
  override readonly name = "TestRedisMissing";
}

async function fromEnvironment(): Promise<AcquiredRedis | undefined> {
  const url = process.env["COATCHECK_TEST_REDIS_URL"];
  if (url === undefined || url === "") return undefined;
  const major = await redisMajor(url);
  if (major === undefined || major < REDIS_MAJOR_MIN) {
    const found = major === undefined ? "nothing answers" : `a Redis ${major} answers`;
    throw new TestRedisMissing(
      `Cannot use COATCHECK_TEST_REDIS_URL: ${found} there, and the tests need Redis ${REDIS_MAJOR_MIN} or later`,
    );
  }
  return { url, way: "COATCHECK_TEST_REDIS_URL", release: () => Promise.resolve() };
}

async function fromContainer(): Promise<AcquiredRedis | undefined> {
  // The reaper is an image of its own that may not be there to pull; we stop our container.
  process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";
  const { getContainerRuntimeClient } = await import("testcontainers");
  try {
    await getContainerRuntimeClient();
  } catch {
    return undefined;
  }
  const { RedisContainer } = await import("@testcontainers/redis");
  const starting = new RedisContainer(IMAGE).withStartupTimeout(30_000).start();
  try {
    const container = await Promise.race([starting, failAfter(CONTAINER_TIMEOUT_MS)]);
    const url = container.getConnectionUrl();
    if ((await redisMajor(url)) === undefined) throw new Error(`nothing answers at ${url}`);
    return {
      url,
      way: `container of ${IMAGE}`,
      release: async () => {
        await container.stop();
      },
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stdout.write(`Redis: no container of ${IMAGE} (${reason.split("\n", 1).join("")})\n`);
    // One that comes up after all is not left behind.
    starting.then(
      async (late) => await late.stop(),
      () => undefined,
    );
    return undefined;
  }
}

async function failAfter(ms: number): Promise<never> {
  await sleep(ms, undefined, { ref: false });
  throw new Error(`not started within ${ms} ms`);
}

async function fromLocalServer(): Promise<AcquiredRedis | undefined> {
  const major = localMajor() ?? installWithApt();
  if (major === undefined || major < REDIS_MAJOR_MIN) return undefined;
  const server = await startRedisServer();
  return {
    url: server.url,
    way: `local redis-server ${major} on port ${server.port}`,
    release: async () => {
      await server.stop();
    },
  };
}

function installWithApt(): number | undefined {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !existsSync("/etc/debian_version")) return undefined;
  process.stdout.write("Redis: apt-get install redis-server\n");
  // Run level 1 keeps the package from starting a server of its own on port 6379.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  for (const args of [
    ["update"],
    ["install", "--yes", "--no-install-recommends", "redis-server"],
  ]) {
    const options = { env, encoding: "utf8", timeout: APT_TIMEOUT_MS } as const;
    const run = spawnSync("apt-get", args, options);
    // An update that fails for one list may still be enough to install.
    if (run.status !== 0) {
      const reason = run.error?.message ?? run.stderr;
      process.stdout.write(`Redis: apt-get ${args.join(" ")} failed (${reason.trim()})\n`);
    }
  }
  return localMajor();
}

function localMajor(): number | undefined {
  const run = spawnSync("redis-server", ["--version"], { encoding: "utf8" });
  return run.error === undefined ? majorOf(/ v=(\d+)\./.exec(run.stdout)) : undefined;
}

async function redisMajor(url: string): Promise<number | undefined> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 5_000,
    commandTimeout: 5_000,
    retryStrategy: () => null,
  });
  // Its connection errors also reject the command, which is where they are looked at.
  redis.on("error", () => undefined);
  try {
    return majorOf(/^redis_version:(\d+)\./m.exec(await redis.info("server")));
  } catch {
    return undefined;
  } finally {
    redis.disconnect();
  }
}

function majorOf(match: RegExpExecArray | null): number | undefined {
  const major = match?.[1];
  return major === undefined ? undefined : Number(major);
}
