import { describe, expect } from "vitest";

import { type Fact, PARTITION, request, TENANT, type Ticket, type World } from "../world.js";

const FOREIGN = ["globex", "initech"];
const OWN = ["globex", TENANT];

/** Operations of a caller that may touch some tenants only (S-28). */
export function describeTenants(fact: Fact): void {
  async function touch(
    world: World,
    { sessionId, tokenDigest }: Ticket,
    tenantIds: readonly string[] | undefined,
  ): Promise<readonly string[]> {
    const uses = [{ sessionId, tokenDigest, idleForMs: 0 }];
    return await world.store.sessions.touch(PARTITION, uses, tenantIds);
  }

  async function revoke(
    world: World,
    { sessionId }: Ticket,
    overrides: Partial<Parameters<World["store"]["sessions"]["revoke"]>[0]>,
  ): Promise<string> {
    const result = await world.store.sessions.revoke({
      sessionId,
      presentedDigest: undefined,
      cause: { reason: "admin", initiatingEntity: "admin", reasonAdmin: "", reasonUser: "" },
      request: undefined,
      eventId: "revoked",
      ...overrides,
    });
    return result.kind;
  }

  describe("a session of another tenant", () => {
    fact("is not found by a revocation, which changes nothing", async (world) => {
      const session = await world.create();

      expect(await revoke(world, session, { tenantIds: FOREIGN })).toBe("not-found");

      expect(await world.outcome(session)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });

    fact("is not found by the repeat of a revocation either", async (world) => {
      const session = await world.create();
      const repeatable = { request: request("revoke") };
      await revoke(world, session, { ...repeatable, tenantIds: OWN });

      expect(await revoke(world, session, { ...repeatable, tenantIds: FOREIGN })).toBe("not-found");
      expect(await revoke(world, session, { ...repeatable, tenantIds: OWN })).toBe("revoked");
    });

    fact("is not found by a rotation, with any token of it", async (world) => {
      const first = await world.create();
      const second = await world.rotate(first, "login");
      // Presented after its validity, a retired token would end the session.
      await world.at(31_000);

      for (const ticket of [first, second]) {
        expect(await world.tryRotate(ticket, "periodic", { tenantIds: FOREIGN })).toEqual({
          kind: "refused",
          outcome: "not-found",
          end: undefined,
          revision: undefined,
        });
      }

      expect(await world.outcome(second)).toBe("valid");
    });

    fact("is not found by the repeat of a rotation either", async (world) => {
      const session = await world.create();
      const repeatable = { request: request("rotate") };
      await world.rotate(session, "login", repeatable);

      const repeat = await world.tryRotate(session, "login", { ...repeatable, tenantIds: FOREIGN });

      expect(repeat).toMatchObject({ kind: "refused", outcome: "not-found" });
    });

    fact(
      "is not found by a repeat when its record is gone, but what did it is remembered",
      async (world) => {
        const policy = { idleTimeoutMs: 0, absoluteTimeoutMs: 60_000, retentionMs: 10_000 };
        const session = await world.create({ policy });
        const rotated = { request: request("rotate") };
        const revoked = { request: request("revoke") };
        await world.rotate(session, "login", rotated);
        await revoke(world, session, revoked);
        await world.at(70_000);
        await world.store.sessions.reap(PARTITION, 1_000);
        await world.store.sessions.reap(PARTITION, 1_000);
        expect(await world.state(session)).toBe("gone");

        // Whose it was nobody can say any more, so a caller of some tenants is told nothing.
        for (const tenantIds of [FOREIGN, OWN]) {
          expect(await revoke(world, session, { ...revoked, tenantIds })).toBe("not-found");
          expect(await world.tryRotate(session, "login", { ...rotated, tenantIds })).toMatchObject({
            kind: "refused",
            outcome: "not-found",
          });
        }
        expect(await revoke(world, session, revoked)).toBe("revoked");
        expect((await world.tryRotate(session, "login", rotated)).kind).toBe("superseded");
      },
    );

    fact("is not found by a reported use, which moves nothing", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(50_000);

      expect(await touch(world, session, FOREIGN)).toEqual(["not-found"]);
      expect(await touch(world, session, [])).toEqual(["not-found"]);

      await world.at(60_000);
      expect(await world.outcome(session)).toBe("expired-idle");
    });
  });

  describe("a session of one of the tenants", () => {
    fact("is used, rotated and revoked", async (world) => {
      const session = await world.create();

      expect(await touch(world, session, OWN)).toEqual(["valid"]);
      const successor = await world.rotate(session, "login", { tenantIds: OWN });
      expect(await revoke(world, successor, { tenantIds: OWN })).toBe("revoked");
    });

    fact(
      "is used beside foreign ones in one step, each answered by its own tenant",
      async (world) => {
        const own = await world.create({ tenantId: "globex" });
        const other = await world.create();
        const uses = [own, other].map(({ sessionId, tokenDigest }) => ({
          sessionId,
          tokenDigest,
          idleForMs: 0,
        }));

        const outcomes = await world.store.sessions.touch(PARTITION, uses, ["globex"]);

        expect(outcomes).toEqual(["valid", "not-found"]);
      },
    );
  });
}
