import { ValidationOutcome } from "@coatcheck/proto";
import { credentials } from "@grpc/grpc-js";
import { HealthClient } from "../support/health.js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SessionClient } from "@coatcheck/client";

import { eventually } from "../support/eventually.js";
import { startRedisServer, type RedisServer } from "../support/redis-server.js";
import { freshNamespace, startReplica, type Replica } from "../support/replica.js";
import { failure, SessionApi } from "../support/session-api.js";
import { createService, say } from "../support/services.js";

/*
 * FAULTS rows 5 and 11, S-47: Redis goes away, by kill -9 and by freezing, and
 * comes back. Nothing is restarted but Redis.
 */

const TEST_MS = 60_000;
const DEADLINE_MS = 1_500;
const READINESS_MS = 2_000;

let redis: RedisServer;
let replica: Replica;
let api: SessionApi;
let health: HealthClient;
let service: SessionClient;

beforeEach(async () => {
  redis = await startRedisServer({ config: { appendonly: "yes", appendfsync: "always" } });
  replica = await startReplica({ redisUrl: redis.url, namespace: freshNamespace() });
  api = new SessionApi(replica.address);
  health = new HealthClient(replica.address, credentials.createInsecure());
  service = createService(replica.address);
  await service.ready({ signal: AbortSignal.timeout(10_000) });
}, TEST_MS);

afterEach(async () => {
  api.close();
  health.close();
  await service.close();
  await replica.child.kill();
  redis.resume();
  await redis.stop();
});

describe.each([
  {
    how: "killed with kill -9",
    leave: async () => {
      await redis.kill();
    },
    comeBack: async () => {
      await redis.start();
    },
  },
  {
    how: "frozen with SIGSTOP",
    leave: async () => {
      redis.pause();
      await Promise.resolve();
    },
    comeBack: async () => {
      redis.resume();
      await Promise.resolve();
    },
  },
])("Redis $how", ({ leave, comeBack }) => {
  it(
    "fails calls with UNAVAILABLE within their deadline, is not ready but alive, and recovers",
    async () => {
      const created = await service.create({ subject: "ada" });
      const token = created.token.reveal();
      expect(await say(service, token)).toBe("valid");

      await leave();
      const leftAtMs = performance.now();
      const statuses = await Promise.all(
        Array.from({ length: 20 }, async () => {
          return await failure(api.validate(token, {}, { deadline: Date.now() + DEADLINE_MS }));
        }),
      );
      await eventually(async () => (await health.check("")) === "NOT_SERVING", {
        timeoutMs: READINESS_MS,
      });
      const notReadyAfterMs = performance.now() - leftAtMs;

      expect(new Set(statuses.map(({ code }) => code))).toEqual(new Set(["UNAVAILABLE"]));
      expect(notReadyAfterMs).toBeLessThan(READINESS_MS);
      expect(await health.check("liveness")).toBe("SERVING");
      // The lease lapses; from then on the SDK cannot tell, and says so.
      const said = new Set<string>();
      await eventually(
        async () => {
          said.add(await say(service, token));
          return said.has("unavailable");
        },
        { timeoutMs: 10_000 },
      );
      expect([...said].filter((word) => word !== "valid")).toEqual(["unavailable"]);

      await comeBack();
      await eventually(async () => (await health.check("")) === "SERVING", { timeoutMs: 15_000 });
      expect((await api.validate(token)).outcome).toBe(ValidationOutcome.VALID);
      await eventually(() => service.status().state === "fresh", { timeoutMs: 10_000 });
      expect(await say(service, token)).toBe("valid");
    },
    TEST_MS,
  );

  it(
    "starts without Redis: alive, not ready, and serves once Redis is there",
    async () => {
      await leave();
      const late = await startReplica({ redisUrl: redis.url, namespace: freshNamespace() });
      const lateHealth = new HealthClient(late.address, credentials.createInsecure());

      expect(await lateHealth.check("liveness")).toBe("SERVING");
      expect(await lateHealth.check("")).toBe("NOT_SERVING");
      await comeBack();
      await eventually(async () => (await lateHealth.check("")) === "SERVING", {
        timeoutMs: 15_000,
      });

      lateHealth.close();
      await late.child.kill();
    },
    TEST_MS,
  );
});
