// Redis only: a primary that Sentinels name, over TLS, and another one after a failover.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";
import type { Store } from "#server/store/store.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { TestCa } from "../support/certificates.js";
import { type Child, startProcess } from "../support/child.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { type RedisServer, startRedisServer } from "../support/redis-server.js";

const TIMEOUT_MS = 60_000;
const SOON = { timeout: 15_000 };
const PARTITION = 5;

describe("rediss+sentinel://", { timeout: TIMEOUT_MS }, () => {
  let ca: TestCa;
  let other: TestCa;
  const servers: RedisServer[] = [];
  const stores: Store[] = [];
  const sentinels: Child[] = [];
  let sentinelPort: number;
  let primaryPort: number;
  let tls: Readonly<Record<string, string>>;

  /** A Redis that has TLS beside the plain port by which the test looks at it. */
  async function startSecure(config: Readonly<Record<string, string>>): Promise<number> {
    const port = await freePort();
    servers.push(await startRedisServer({ config: { ...tls, ...config, "tls-port": `${port}` } }));
    return port;
  }

  /** A Sentinel that watches the primary under the name "main". */
  async function startSentinel(config: Readonly<Record<string, string>>): Promise<number> {
    const port = await freePort();
    const path = join(ca.folder, `sentinel-${port}.conf`);
    const lines = [
      "port 0",
      `tls-port ${port}`,
      ...Object.entries(config)
        .filter(([name]) => name.startsWith("tls-"))
        .map(([name, value]) => `${name} ${value}`),
      `dir ${ca.folder}`,
      `sentinel monitor main 127.0.0.1 ${primaryPort} 1`,
    ];
    writeFileSync(path, `${lines.join("\n")}\n`);
    sentinels.push(startProcess("redis-server", [path, "--sentinel"]));
    return port;
  }

  function store(authority: Buffer, port = sentinelPort): Store {
    const made = createRedisStore({
      url: `rediss+sentinel://127.0.0.1:${port}/main`,
      credentials: () => ({ tlsAuthority: authority }),
      clock: systemClock,
      maxStalenessMs: 3_000,
      logRetention: 100,
      commandTimeoutMs: 5_000,
    });
    stores.push(made);
    return made;
  }

  beforeAll(async () => {
    ca = new TestCa();
    other = new TestCa();
    const { certPath, keyPath } = ca.issue({ names: "IP:127.0.0.1" });
    tls = {
      "tls-cert-file": certPath,
      "tls-key-file": keyPath,
      "tls-ca-cert-file": ca.path,
      "tls-auth-clients": "no",
      "tls-replication": "yes",
      "repl-diskless-sync-delay": "0",
    };
    primaryPort = await startSecure({});
    await startSecure({ replicaof: `127.0.0.1 ${primaryPort}` });
    sentinelPort = await startSentinel(tls);
    await eventually(knowsReplica, { timeoutMs: 40_000, intervalMs: 200 });
  }, TIMEOUT_MS);

  afterAll(async () => {
    for (const made of stores) await made.close();
    for (const sentinel of sentinels) await sentinel.kill("SIGKILL");
    for (const server of servers) await server.stop();
    for (const made of [ca, other]) made.remove();
  });

  /** Asks the Sentinel, as an operator does. */
  async function ask(...command: readonly string[]): Promise<unknown> {
    return await sentinel(
      { host: "127.0.0.1", port: sentinelPort, tls: { ca: ca.cert } },
      ...command,
    );
  }

  async function knowsReplica(): Promise<boolean> {
    const replicas = await ask("REPLICAS", "main");
    return JSON.stringify(replicas).includes('"master-link-status","ok"');
  }

  it(
    "reaches nothing by a Sentinel whose certificate another authority signed (S-25)",
    SOON,
    async () => {
      const { certPath, keyPath } = other.issue({ names: "IP:127.0.0.1" });
      const port = await startSentinel({
        ...tls,
        "tls-cert-file": certPath,
        "tls-key-file": keyPath,
      });
      const impostor = { host: "127.0.0.1", port, tls: { ca: other.cert } };
      await eventually(async () => (await sentinel(impostor, "MASTERS")) !== undefined);
      const made = store(ca.cert, port);
      await made.start();

      await expect(made.log.pull(PARTITION, undefined, 1)).rejects.toThrow(StoreUnavailableError);
    },
  );

  it("starts, and answers nothing, while no Sentinel is there", SOON, async () => {
    const made = store(ca.cert, await freePort());

    await made.start();

    await expect(made.log.pull(PARTITION, undefined, 1)).rejects.toThrow(StoreUnavailableError);
  });

  it("reaches the primary, and after a failover the next one, in a new generation", async () => {
    const made = store(ca.cert);
    await made.start();
    const before = await eventually(async () => await made.log.pull(PARTITION, undefined, 1));

    await ask("FAILOVER", "main");
    const after = await eventually(
      async () => {
        const { head } = await made.log.pull(PARTITION, undefined, 1);
        return head.generation > before.head.generation ? head : undefined;
      },
      { timeoutMs: 40_000, intervalMs: 200 },
    );

    expect(after.generation).toBeGreaterThan(before.head.generation);
  });
});

/** Where a Sentinel is, and who signs its certificate. */
interface SentinelAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly ca: Buffer };
}

async function sentinel(address: SentinelAddress, ...command: readonly string[]): Promise<unknown> {
  const redis = new Redis({ ...address, lazyConnect: true });
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    return await redis.call("SENTINEL", ...command);
  } finally {
    redis.disconnect();
  }
}
