import { describe, expect } from "vitest";

import type { DeviceProgress, RevokeDeviceCommand } from "#server/store/session-store.js";

import { cause, type Fact, mustBe, request, START_MS, type World } from "../world.js";

interface Progress {
  readonly finished: boolean;
  readonly progress: DeviceProgress;
}

function device(id: string): { id: string; ipAddress: string; userAgent: string } {
  return { id, ipAddress: "", userAgent: "" };
}

/** Ending a subject's sessions on one device, in batches. */
export function describeRevokeDevice(fact: Fact): void {
  async function batch(
    world: World,
    overrides: Partial<RevokeDeviceCommand> = {},
  ): Promise<Progress> {
    return mustBe(
      await world.store.sessions.revokeDevice(world.deviceCommand(overrides)),
      "progress",
    );
  }

  /** Batches until it is finished, as a caller does. */
  async function revokeAll(
    world: World,
    overrides: Partial<RevokeDeviceCommand> = {},
  ): Promise<DeviceProgress> {
    let { finished, progress } = await batch(world, overrides);
    while (!finished) {
      ({ finished, progress } = await batch(world, { ...overrides, progress }));
    }
    return progress;
  }

  async function createMany(world: World, count: number, on: string): Promise<readonly string[]> {
    const created = await Promise.all(
      Array.from({ length: count }, () =>
        world.create({ device: device(on), policy: { maxSessionsPerSubject: 0 } }),
      ),
    );
    return created.map(({ sessionId }) => sessionId);
  }

  async function statesOf(world: World, sessionIds: readonly string[]): Promise<Set<string>> {
    const records = await Promise.all(
      sessionIds.map((sessionId) => world.store.sessions.read(sessionId)),
    );
    return new Set(records.map((record) => record?.state ?? "gone"));
  }

  describe("a revocation of a device", () => {
    fact("ends the subject's sessions on it and no others", async (world) => {
      const lost = await world.create({ device: device("phone") });
      const kept = [
        await world.create({ device: device("laptop") }),
        await world.create({ device: device("") }),
        await world.create({ device: device("phone"), subject: "bob" }),
        await world.create({ device: device("phone"), tenantId: "umbrella" }),
      ];
      await world.at(1_000);

      const result = await batch(world, {
        deviceId: "phone",
        cause: cause("security-policy"),
        eventId: "theft",
      });

      expect(result).toMatchObject({
        finished: true,
        leaseMaxMs: expect.any(Number) as number,
        progress: { revokedCount: 1 },
      });
      expect(await world.validate(lost)).toMatchObject({
        outcome: "revoked",
        end: { reason: "security-policy", atMs: START_MS + 1_000 },
      });
      for (const session of kept) {
        expect(await world.state(session)).toBe("active");
      }
      expect(await world.events()).toMatchObject([
        {
          revision: result.progress.revision,
          eventId: "theft.1",
          kind: "revoked",
          target: { kind: "session", sessionId: lost.sessionId },
        },
      ]);
    });

    fact("without such a session changes nothing", async (world) => {
      const session = await world.create({ device: device("laptop") });

      const { finished, progress } = await batch(world, { deviceId: "phone" });

      expect(finished).toBe(true);
      expect(progress).toMatchObject({ revokedCount: 0, revision: world.start });
      expect(await world.outcome(session)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });

    fact("takes an expired session, which could be recovered otherwise", async (world) => {
      const session = await world.create({
        policy: { idleTimeoutMs: 1_000, recoveryWindowMs: 3_600_000 },
      });
      await world.at(1_000);

      await revokeAll(world);

      expect(await world.outcome(session)).toBe("revoked");
    });

    fact("walks more than one batch and ends each session once", async (world) => {
      const phones = await createMany(world, 130, "phone");
      const laptops = await createMany(world, 120, "laptop");

      const first = await batch(world, { deviceId: "phone" });
      const progress = await revokeAll(world, { deviceId: "phone", progress: first.progress });

      const targets = (await world.events()).map(({ target }) => JSON.stringify(target));
      expect(first.finished).toBe(false);
      expect(progress.revokedCount).toBe(130);
      expect(await statesOf(world, phones)).toEqual(new Set(["revoked"]));
      expect(await statesOf(world, laptops)).toEqual(new Set(["active"]));
      expect(targets).toHaveLength(130);
      expect(new Set(targets).size).toBe(130);
    });

    for (const [count, finished] of [
      [99, true],
      [100, true],
      [101, false],
    ] as const) {
      fact(`of ${count} sessions is ${finished ? "" : "not "}done in one batch`, async (world) => {
        await createMany(world, count, "phone");

        expect((await batch(world, { deviceId: "phone" })).finished).toBe(finished);
      });
    }

    fact("spares what was created after its first batch", async (world) => {
      const before = await createMany(world, 150, "phone");
      const first = await batch(world, { deviceId: "phone" });
      const sameInstant = await world.create({
        device: device("phone"),
        policy: { maxSessionsPerSubject: 0 },
      });
      await world.at(1_000);
      const later = await createMany(world, 3, "phone");

      await revokeAll(world, { deviceId: "phone", progress: first.progress });

      expect(await statesOf(world, before)).toEqual(new Set(["revoked"]));
      expect(await statesOf(world, [...later, sameInstant.sessionId])).toEqual(new Set(["active"]));
    });

    fact(
      "ends a session that another revocation spared and re-stamped meanwhile",
      async (world) => {
        const phones = await createMany(world, 150, "phone");
        await world.at(1_000);
        const first = await batch(world, { deviceId: "phone" });
        const last = phones.toSorted().at(-1) ?? expect.fail("no session");
        await world.revokeSubject({ exceptSessionId: last });

        await revokeAll(world, { deviceId: "phone", progress: first.progress });

        expect(first.finished).toBe(false);
        expect(await statesOf(world, [last])).toEqual(new Set(["revoked"]));
      },
    );

    fact("spares a later login where its first batch found nothing", async (world) => {
      await createMany(world, 101, "laptop");
      const first = await batch(world, { deviceId: "phone" });
      await world.at(1_000);
      const later = await createMany(world, 1, "phone");

      await revokeAll(world, { deviceId: "phone", progress: first.progress });

      expect(first).toMatchObject({ finished: false, progress: { revokedCount: 0 } });
      expect(await statesOf(world, later)).toEqual(new Set(["active"]));
    });

    fact("repeated goes on from where the first attempt got to", async (world) => {
      await createMany(world, 250, "phone");
      const attempt = { deviceId: "phone", request: request("device"), eventId: "theft" };
      const first = await batch(world, attempt);

      const second = await batch(world, attempt);
      const third = await batch(world, attempt);
      const again = await batch(world, attempt);

      expect([first, second, third, again].map(({ finished }) => finished)).toEqual([
        false,
        false,
        true,
        true,
      ]);
      expect(second.progress.revokedCount).toBe(200);
      expect(again.progress).toEqual(third.progress);
      expect(again.progress.revokedCount).toBe(250);
      const eventIds = (await world.events()).map(({ eventId }) => eventId);
      expect(new Set(eventIds).size).toBe(250);
    });

    fact("repeated with other arguments is refused", async (world) => {
      await world.create();
      await batch(world, { request: request("device") });

      expect(
        await world.store.sessions.revokeDevice(
          world.deviceCommand({ request: request("device", "other") }),
        ),
      ).toEqual({ kind: "request-id-reused" });
    });

    fact("leaves a session revoked before as it was", async (world) => {
      const revoked = await world.create();
      await world.revoke(revoked, { cause: cause("user-logout") });
      const cut = await world.create();
      await world.revokeSubject({ cause: cause("credential-change") });

      await revokeAll(world);

      expect((await world.validate(revoked)).end?.reason).toBe("user-logout");
      expect((await world.validate(cut)).end?.reason).toBe("credential-change");
      expect(await world.events()).toHaveLength(2);
    });
  });
}
