// Redis only: the metrics that need a store in another process.

import { describe, expect, it } from "vitest";

import { createAuthority } from "#server/server.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";

import { eventually } from "../support/eventually.js";
import { parseSeries, scrape, valueOf } from "../support/prometheus.js";
import { startRedisServer } from "../support/redis-server.js";
import { SessionApi } from "../support/session-api.js";

describe("the metrics of a replica on Redis", () => {
  it("show its scripts, its connection, and a Redis that goes away and comes back", async () => {
    const redis = await startRedisServer();
    const authority = await createAuthority({
      metricsListen: { host: "127.0.0.1", port: 0 },
      createStore: (options) => createRedisStore({ ...options, url: redis.url }),
    });
    const api = new SessionApi(authority.address);
    async function read(): Promise<string> {
      return (await scrape(authority.metricsAddress ?? "")).text;
    }
    try {
      const { token } = await api.create();
      await api.validate(token);

      const healthy = await read();
      const labels = { script: "validate_session", result: "ok" };
      expect(valueOf(healthy, "coatcheck_script_duration_seconds_count", labels)).toBe(1);
      expect(valueOf(healthy, "coatcheck_store_connected", { store: "redis" })).toBe(1);
      expect(valueOf(healthy, "coatcheck_store_open_partitions")).toBe(16);
      expect(activeSessions(healthy)).toBe(1);
      const breaks = valueOf(healthy, "coatcheck_store_breaks_total") ?? 0;

      await redis.kill();
      await eventually(async () => valueOf(await read(), "coatcheck_store_connected") === 0);
      const away = await read();
      expect(valueOf(away, "coatcheck_store_open_partitions")).toBe(0);
      expect(valueOf(away, "coatcheck_store_breaks_total")).toBeGreaterThan(breaks);
      expect(activeSessions(away)).toBeUndefined();

      await redis.start();
      await eventually(
        async () => valueOf(await read(), "coatcheck_store_open_partitions") === 16,
        { timeoutMs: 20_000 },
      );
    } finally {
      api.close();
      await authority.close();
      await redis.stop();
    }
  }, 60_000);
});

/** Undefined where no partition told. */
function activeSessions(text: string): number | undefined {
  const told = parseSeries(text).filter(({ name }) => name === "coatcheck_sessions_active");
  return told.length === 0 ? undefined : told.reduce((sum, { value }) => sum + value, 0);
}
