import { describe, expect } from "vitest";

import type {
  IncidentMode,
  SetIncidentCommand,
  SetIncidentResult,
} from "#server/store/incident.js";

import { type Fact, PARTITION, START_MS, type World } from "../world.js";

const MINUTE_MS = 60_000;

/** The incident mode of a partition, as every pull tells it. */
export function describeIncident(fact: Fact): void {
  describe("the incident mode", () => {
    fact("is none on a fresh store", async (world) => {
      expect(await pulled(world)).toBeUndefined();
    });

    fact("comes with every pull, with the time that is left", async (world) => {
      const result = await set(world, { maxStalenessMs: 1_000, stopCreating: true });
      await world.at(20_000);

      expect(result).toEqual({
        endsAtMs: START_MS + MINUTE_MS,
        leaseMaxMs: 3_000,
        rank: START_MS,
      });
      expect(await pulled(world)).toMatchObject({
        maxStalenessMs: 1_000,
        stopCaching: false,
        stopCreating: true,
        leftMs: 40_000,
      });
    });

    fact("lasts to the millisecond before its end, and not at it", async (world) => {
      await set(world, { stopCaching: true });

      await world.at(MINUTE_MS - 1);
      expect(await pulled(world)).toMatchObject({ leftMs: 1, maxStalenessMs: undefined });
      await world.at(MINUTE_MS);
      expect(await pulled(world)).toBeUndefined();
    });

    fact("is ended by a duration of zero", async (world) => {
      await set(world, { stopCaching: true });

      expect(await set(world, { lastsMs: 0 })).toMatchObject({ endsAtMs: undefined });
      expect(await pulled(world)).toBeUndefined();
    });

    fact("is what the last call said, as a whole", async (world) => {
      await set(world, { stopCaching: true, maxStalenessMs: 500 });
      await set(world, { stopCreating: true });

      expect(await pulled(world)).toMatchObject({
        stopCaching: false,
        stopCreating: true,
        maxStalenessMs: undefined,
      });
    });

    fact("is in the audit trail where a call is named, and only there", async (world) => {
      const origin = { method: "coatcheck.v1.AdminService/SetIncidentMode", caller: "sre" };
      await set(world, {
        stopCaching: true,
        audit: origin,
        eventId: "incident-1",
        reasonAdmin: "stop_caching",
      });
      await set(world, { stopCaching: true });

      const query = {
        partition: PARTITION,
        stream: "audit",
        before: undefined,
        limit: 10,
      } as const;
      expect(await world.store.audit.read(query)).toMatchObject([
        { ...origin, eventId: "incident-1", statusCode: 0, reasonAdmin: "stop_caching" },
      ]);
    });

    describeRanks(fact);

    fact("outlives a new generation of the log", async (world) => {
      await set(world, { stopCaching: true });
      await world.openGeneration();

      expect(await pulled(world)).toMatchObject({ stopCaching: true });
    });
  });
}

/** Of two calls at a time one has to hold in all partitions, or neither would be in effect. */
function describeRanks(fact: Fact): void {
  fact("is ranked by the partition that leads, each call above the last", async (world) => {
    const first = await set(world);
    const second = await set(world);
    const third = await set(world, { rank: second.rank + 10 });

    expect([second.rank, third.rank]).toEqual([first.rank + 1, second.rank + 10]);
  });

  fact("is not set by a call of a lower rank, nor by the same again", async (world) => {
    const { rank } = await set(world, { stopCaching: true });

    const lower = await set(world, { stopCreating: true, leads: false, rank: rank - 1 });
    const same = await set(world, { lastsMs: 0, leads: false, rank });

    // Each is told what holds instead.
    expect([lower, same]).toEqual([
      { endsAtMs: START_MS + MINUTE_MS, leaseMaxMs: 3_000, rank },
      { endsAtMs: START_MS + MINUTE_MS, leaseMaxMs: 3_000, rank },
    ]);
    expect(await pulled(world)).toMatchObject({ stopCaching: true, stopCreating: false });
  });

  fact("is set by a call of a higher rank, and its end keeps its rank too", async (world) => {
    const { rank } = await set(world, { stopCaching: true });

    const ended = await set(world, { lastsMs: 0, leads: false, rank: rank + 1 });
    const late = await set(world, { stopCaching: true, leads: false, rank: rank + 1 });

    expect([ended, late]).toMatchObject([
      { endsAtMs: undefined, rank: rank + 1 },
      { endsAtMs: undefined, rank: rank + 1 },
    ]);
    expect(await pulled(world)).toBeUndefined();
  });
}

async function set(
  world: World,
  overrides: Partial<SetIncidentCommand> = {},
): Promise<SetIncidentResult> {
  return await world.store.setIncident({
    partition: PARTITION,
    lastsMs: MINUTE_MS,
    maxStalenessMs: undefined,
    stopCaching: false,
    stopCreating: false,
    eventId: "incident",
    rank: 0,
    leads: true,
    audit: undefined,
    reasonAdmin: "",
    ...overrides,
  });
}

async function pulled(world: World): Promise<IncidentMode | undefined> {
  return (await world.store.log.pull(PARTITION, undefined, 1)).incident;
}
