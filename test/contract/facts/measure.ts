import { describe, expect } from "vitest";

import type { PartitionSize } from "#server/store/store-measure.js";

import { type Fact, PARTITION, type World } from "../world.js";

/** What the store says of its own size, for metrics. */
export function describeMeasure(fact: Fact): void {
  async function size(world: World): Promise<Omit<PartitionSize, "partition">> {
    const sizes = await world.store.measure();
    const { partition, ...rest } = sizes.find((each) => each.partition === PARTITION) ?? {
      partition: -1,
      liveSessions: -1,
      keptSessions: -1,
      expiredSessions: -1,
      logEvents: -1,
    };
    expect(partition).toBe(PARTITION);
    return rest;
  }

  const nothing = { liveSessions: 0, keptSessions: 0, expiredSessions: 0, logEvents: 0 };

  describe("measure", () => {
    fact("tells all sixteen partitions, empty ones too", async (world) => {
      const sizes = await world.store.measure();

      expect(sizes.map(({ partition }) => partition)).toEqual([...Array(16).keys()]);
      expect(await size(world)).toEqual(nothing);
    });

    fact("counts a session as live, and once it is revoked as kept", async (world) => {
      const session = await world.create();
      expect(await size(world)).toEqual({ ...nothing, liveSessions: 1, keptSessions: 1 });

      await world.revoke(session);

      expect(await size(world)).toEqual({ ...nothing, keptSessions: 1, logEvents: 1 });
    });

    fact("counts a second end of the same session as nothing", async (world) => {
      const session = await world.create();
      await world.revoke(session);
      await world.revoke(session);

      expect(await size(world)).toMatchObject({ liveSessions: 0, expiredSessions: 0 });
    });

    fact("counts an expiry when it is written, once", async (world) => {
      await world.create({ policy: { idleTimeoutMs: 60_000, retentionMs: 10_000 } });

      await world.at(60_000);
      expect(await size(world)).toMatchObject({ liveSessions: 1, expiredSessions: 0 });
      await world.store.sessions.reap(PARTITION, 100);
      expect(await size(world)).toMatchObject({ liveSessions: 0, expiredSessions: 1 });
      await world.at(70_000);
      await world.store.sessions.reap(PARTITION, 100);

      expect(await size(world)).toEqual({ ...nothing, expiredSessions: 1 });
    });

    fact("counts an expiry that was never written when its record goes", async (world) => {
      await world.create({ policy: { idleTimeoutMs: 60_000, retentionMs: 10_000 } });

      await world.at(70_000);
      await world.store.sessions.reap(PARTITION, 100);

      expect(await size(world)).toEqual({ ...nothing, expiredSessions: 1 });
    });

    fact("counts what a cutoff ended as no expiry", async (world) => {
      await world.create({ policy: { idleTimeoutMs: 60_000, retentionMs: 10_000 } });
      await world.revokeSubject();

      await world.at(70_000);
      await world.store.sessions.reap(PARTITION, 100);
      await world.at(80_000);
      await world.store.sessions.reap(PARTITION, 100);

      expect(await size(world)).toMatchObject({ liveSessions: 0, expiredSessions: 0 });
    });
  });
}
