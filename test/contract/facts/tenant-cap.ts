import { describe, expect } from "vitest";

import { type Fact, mustBe, PARTITION, request, type World } from "../world.js";

// 33 of a tenant are 3 in each of the 16 partitions: 2.06, rounded up.
const CAP = 33;
const SHARE = 3;

/** What a tenant's cap on live sessions counts, and when it stops counting. */
export function describeTenantCap(fact: Fact): void {
  let subjects = 0;

  /** Each of another subject, so that no subject's own limit is met. */
  async function tryCreate(world: World, overrides: Parameters<World["tryCreate"]>[0] = {}) {
    subjects += 1;
    return await world.tryCreate({
      subject: `subject-${subjects}`,
      tenantSessionsMax: CAP,
      ...overrides,
    });
  }

  async function create(world: World, overrides: Parameters<World["tryCreate"]>[0] = {}) {
    return mustBe(await tryCreate(world, overrides), "created");
  }

  async function fill(world: World, overrides: Parameters<World["tryCreate"]>[0] = {}) {
    const sessions = [];
    for (let count = 0; count < SHARE; count += 1) {
      sessions.push(await create(world, overrides));
    }
    return sessions;
  }

  async function reap(world: World): Promise<void> {
    while ((await world.store.sessions.reap(PARTITION, 1_000)) > 0) {
      // Until nothing is due.
    }
  }

  describe("a tenant's cap on live sessions", () => {
    fact("admits a sixteenth of it, rounded up, in each partition", async (world) => {
      await fill(world);

      expect(await tryCreate(world)).toEqual({ kind: "tenant-full" });
    });

    fact("does not concern other tenants", async (world) => {
      await fill(world);

      expect((await tryCreate(world, { tenantId: "globex" })).kind).toBe("created");
    });

    fact("counts anonymous sessions", async (world) => {
      await fill(world, { subject: "" });

      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });

    fact("counts sessions that were created without a cap", async (world) => {
      await fill(world, { tenantSessionsMax: undefined });

      expect((await tryCreate(world)).kind).toBe("tenant-full");
      expect((await tryCreate(world, { tenantSessionsMax: undefined })).kind).toBe("created");
    });

    fact("writes and evicts nothing where it refuses", async (world) => {
      const full = await fill(world);
      const refused = world.createCommand({ subject: "alice", tenantSessionsMax: CAP });

      await world.store.sessions.create(refused);

      expect(await world.events()).toEqual([]);
      expect(await world.state(refused)).toBe("gone");
      for (const session of full) {
        expect(await world.outcome(session)).toBe("valid");
      }
    });

    fact("answers a repeat of what it admitted", async (world) => {
      const first = await create(world, { subject: "alice", request: request("a") });
      await create(world);
      await create(world);

      const repeat = await tryCreate(world, { subject: "alice", request: request("a") });

      expect(repeat).toMatchObject({ kind: "created", sessionId: first.sessionId, repeated: true });
    });

    fact("has room again after a revocation, once", async (world) => {
      const [first] = await fill(world);
      if (first === undefined) throw new Error("nothing was created");
      await world.revoke(first);
      await world.revoke(first);

      expect((await tryCreate(world)).kind).toBe("created");
      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });

    fact("admits a login that evicts a session of its subject", async (world) => {
      const policy = { maxSessionsPerSubject: SHARE };
      await fill(world, { subject: "alice", policy });

      const created = await create(world, { subject: "alice", policy });

      expect(created.evicted).toHaveLength(1);
      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });

    fact("lets a subject's own limit speak first", async (world) => {
      const policy = { maxSessionsPerSubject: SHARE, limitAction: "deny" } as const;
      await fill(world, { subject: "alice", policy });

      expect((await tryCreate(world, { subject: "alice", policy })).kind).toBe("limit-reached");
    });

    fact(
      "counts an expired session until the reaper wrote its end, and never twice",
      async (world) => {
        const policy = { idleTimeoutMs: 60_000, retentionMs: 600_000 };
        const [, second, third] = await fill(world, { policy });
        await world.at(50_000);
        if (second === undefined || third === undefined) throw new Error("nothing was created");
        await world.use(second);
        await world.use(third);

        await world.at(60_000);
        expect((await tryCreate(world, { policy })).kind).toBe("tenant-full");
        await reap(world);
        expect((await tryCreate(world, { policy })).kind).toBe("created");
        expect((await tryCreate(world, { policy })).kind).toBe("tenant-full");

        // Every record goes, the first one's with its end written long before.
        await world.at(900_000);
        await reap(world);
        await world.at(1_800_000);
        await reap(world);
        await fill(world, { policy });
        expect((await tryCreate(world, { policy })).kind).toBe("tenant-full");
      },
    );

    fact("has room for a subject whose own expired session is found on the way", async (world) => {
      await fill(world, { policy: { idleTimeoutMs: 60_000 }, subject: "alice" });

      await world.at(60_000);

      expect((await tryCreate(world, { subject: "alice" })).kind).toBe("created");
      await create(world);
      await create(world);
      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });

    fact("counts what a cutoff ended until the reaper wrote its end", async (world) => {
      const policy = { idleTimeoutMs: 60_000 };
      await fill(world, { policy });
      await world.revokeTenant();
      expect((await tryCreate(world)).kind).toBe("tenant-full");

      await world.at(60_000);
      await reap(world);

      await fill(world);
      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });

    fact("counts what can be recovered until its window is over", async (world) => {
      const policy = { idleTimeoutMs: 60_000, recoveryWindowMs: 600_000 };
      await fill(world, { policy });

      await world.at(659_999);
      await reap(world);
      expect((await tryCreate(world)).kind).toBe("tenant-full");
      await world.at(660_000);
      await reap(world);

      await fill(world);
      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });

    fact("does not count a rotation", async (world) => {
      const first = await create(world);
      await world.rotate(first, "login");
      await create(world);

      expect((await tryCreate(world)).kind).toBe("created");
    });

    fact("takes a session off once that expired and was then revoked", async (world) => {
      const first = await create(world, { policy: { idleTimeoutMs: 60_000 } });
      await create(world);
      await create(world);
      await world.at(60_000);
      await reap(world);

      await world.revoke(first);

      expect((await tryCreate(world)).kind).toBe("created");
      expect((await tryCreate(world)).kind).toBe("tenant-full");
    });
  });
}
