import { describe, expect } from "vitest";

import type { ValidationOutcome } from "#server/session/outcome.js";

import { type Fact, freshDigest, PARTITION, START_MS, type Ticket, type World } from "../world.js";

/** Reported uses: what caches answered. */
export function describeTouch(fact: Fact): void {
  async function report(
    world: World,
    ticket: Ticket,
    idleForMs = 0,
  ): Promise<ValidationOutcome | undefined> {
    const { sessionId, tokenDigest } = ticket;
    const uses = [{ sessionId, tokenDigest, idleForMs }];
    return (await world.store.sessions.touch(PARTITION, uses))[0];
  }

  async function lastSeenMs(world: World, ticket: Ticket): Promise<number> {
    const record = await world.store.sessions.read(ticket.sessionId);
    return (record?.lastSeenAtMs ?? Number.NaN) - START_MS;
  }

  describe("a reported use", () => {
    fact("moves the idle deadline from when it happened, S-17", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(50_000);

      expect(await report(world, session, 5_000)).toBe("valid");

      expect(await lastSeenMs(world, session)).toBe(45_000);
      await world.at(104_999);
      expect(await world.outcome(session)).toBe("valid");
      await world.at(105_000);
      expect(await world.outcome(session)).toBe("expired-idle");
    });

    fact("never moves the idle deadline back", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(50_000);
      await world.use(session);

      expect(await report(world, session, 20_000)).toBe("valid");

      expect(await lastSeenMs(world, session)).toBe(50_000);
    });

    fact("reported twice at once counts as the later one", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(50_000);

      await world.store.sessions.touch(PARTITION, [
        { ...session, idleForMs: 0 },
        { ...session, idleForMs: 30_000 },
      ]);

      expect(await lastSeenMs(world, session)).toBe(50_000);
    });

    fact("from before the session's creation changes nothing", async (world) => {
      const session = await world.create();
      await world.at(1_000);

      expect(await report(world, session, 3_600_000)).toBe("valid");

      expect(await lastSeenMs(world, session)).toBe(0);
    });

    fact("of a session that has died since leaves it dead", async (world) => {
      const idle = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      const revoked = await world.create({ policy: { idleTimeoutMs: 600_000 } });
      await world.revoke(revoked);
      await world.at(60_000);

      expect(await report(world, idle, 30_000)).toBe("expired-idle");
      expect(await report(world, revoked, 30_000)).toBe("revoked");

      expect(await world.outcome(idle)).toBe("expired-idle");
      expect(await world.outcome(revoked)).toBe("revoked");
    });

    fact("counts for the token in grace, not for a retired or unknown one", async (world) => {
      const first = await world.create();
      const second = await world.rotate(first, "periodic");
      const third = await world.rotate(second, "periodic");
      await world.at(20_000);

      const outcomes = await world.store.sessions.touch(
        PARTITION,
        [first, second, third, { ...third, tokenDigest: freshDigest() }, world.createCommand()].map(
          ({ sessionId, tokenDigest }) => ({ sessionId, tokenDigest, idleForMs: 0 }),
        ),
      );

      expect(outcomes).toEqual(["rotated", "valid", "valid", "not-found", "not-found"]);
    });

    fact("of a retired or unknown token writes nothing", async (world) => {
      const session = await world.create();
      await world.rotate(session, "login");
      await world.at(120_000);

      await report(world, session);
      await report(world, { ...session, tokenDigest: freshDigest() });

      expect(await lastSeenMs(world, session)).toBe(0);
    });

    fact("of none is answered with none", async (world) => {
      expect(await world.store.sessions.touch(PARTITION, [])).toEqual([]);
    });
  });
}
