// Redis only: the password comes from a file and is exchanged while calls go on (S-49).

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { silentLog } from "#server/base/log.js";
import { systemClock } from "#server/base/clock.js";
import { redisCredentials } from "#server/redis-credentials.js";
import { PARTITION_COUNT } from "#server/session/partition.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";
import type { Store } from "#server/store/store.js";

import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { type RedisServer, startRedisServer } from "../support/redis-server.js";

const TIMEOUT_MS = 30_000;

describe("a password in a file", { timeout: TIMEOUT_MS }, () => {
  let folder = "";
  let server: RedisServer;
  let admin: Redis;
  let store: Store;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "coatcheck-password-"));
  });

  afterEach(async () => {
    await store.close();
    admin.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  /** A Redis with a user `rt` whose password is "first", and a store that reads it from the file. */
  async function start(kind: "redis" | "redis+cluster"): Promise<void> {
    const config =
      kind === "redis"
        ? {}
        : {
            "cluster-enabled": "yes",
            "cluster-port": String(await freePort()),
            // A node that nobody has met does not know its own address.
            "cluster-announce-ip": "127.0.0.1",
          };
    server = await startRedisServer({ config });
    admin = new Redis(server.url);
    if (kind !== "redis") {
      await admin.cluster("ADDSLOTSRANGE", 0, 16_383);
      await eventually(async () => (await admin.cluster("INFO")).includes("cluster_state:ok"));
    }
    await allow(">first");
    write("first\n");
    const passwordPath = join(folder, "password");
    store = createRedisStore({
      url: `${kind}://rt:@127.0.0.1:${server.port}`,
      credentials: redisCredentials({ passwordPath, caPath: undefined }, silentLog),
      clock: systemClock,
      maxStalenessMs: 3_000,
      logRetention: 100,
      commandTimeoutMs: 5_000,
    });
    await store.start();
  }

  async function allow(...passwords: readonly string[]): Promise<void> {
    await admin.call("ACL", "SETUSER", "rt", "on", "~*", "&*", "+@all", ...passwords);
  }

  function write(text: string): void {
    writeFileSync(join(folder, "password"), text);
  }

  /** Reads of every partition, so of every node; rejects where Redis does not answer. */
  async function answers(): Promise<true> {
    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      await store.log.pull(partition, undefined, 1);
    }
    return true;
  }

  /** Calls without a pause; `stopAfter` waits for some more, and for an error if there was one. */
  function callOnAndOn(): { stopAfter: (calls: number) => Promise<void> } {
    let left = Infinity;
    const run = (async () => {
      for (; left > 0; left -= 1) await answers();
    })();
    return {
      stopAfter: async (calls) => {
        left = calls;
        await run;
      },
    };
  }

  it.each(["redis", "redis+cluster"] as const)(
    "is exchanged under load without an error, and used from the next connection on (%s)",
    async (kind) => {
      await start(kind);
      await eventually(answers);
      const load = callOnAndOn();

      await allow(">second");
      write("second\n");
      await allow("<first");
      await load.stopAfter(10);
      await admin.call("CLIENT", "KILL", "USER", "rt");

      await eventually(answers, { timeoutMs: 10_000 });
      expect(await admin.call("CLIENT", "LIST")).toMatch(/user=rt/);
    },
  );

  it("goes on with the last one while the file cannot be read", async () => {
    await start("redis");
    await eventually(answers);

    write("");
    await admin.call("CLIENT", "KILL", "USER", "rt");

    await eventually(answers);
  });

  it("is read anew until it fits, where it was exchanged too late", async () => {
    await start("redis");
    await eventually(answers);

    await allow("resetpass", ">second");
    await admin.call("CLIENT", "KILL", "USER", "rt");
    await expect(answers()).rejects.toThrow();
    write("second");

    await eventually(answers);
  });
});
