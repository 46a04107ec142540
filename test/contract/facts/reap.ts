import { describe, expect } from "vitest";

import { type Fact, PARTITION, START_MS, type World } from "../world.js";

/** What leaves the store, and what must not leave it too early. */
export function describeReap(fact: Fact): void {
  async function reap(world: World, limit = 1_000): Promise<number> {
    return await world.store.sessions.reap(PARTITION, limit);
  }

  async function isGone(world: World, session: { readonly sessionId: string }): Promise<boolean> {
    return (await world.store.sessions.read(session.sessionId)) === undefined;
  }

  describe("the reaper", () => {
    fact("looks at nothing before a deadline", async (world) => {
      await world.create({ policy: { idleTimeoutMs: 60_000 } });

      await world.at(59_999);
      expect(await reap(world)).toBe(0);
      await world.at(60_000);
      expect(await reap(world)).toBe(1);
    });

    fact("reschedules a session that was used since", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(59_999);
      await world.use(session);

      await world.at(60_000);
      expect(await reap(world)).toBe(1);
      expect(await reap(world)).toBe(0);

      expect(await world.outcome(session)).toBe("valid");
    });

    for (const [name, policy] of [
      ["idle", { idleTimeoutMs: 60_000, retentionMs: 10_000 }],
      ["absolute", { idleTimeoutMs: 0, absoluteTimeoutMs: 60_000, retentionMs: 10_000 }],
    ] as const) {
      fact(`keeps an expired session for its retention (${name})`, async (world) => {
        const session = await world.create({ policy });

        await world.at(69_999);
        await reap(world);
        await reap(world);
        expect(await world.outcome(session)).toBe(`expired-${name}`);

        await world.at(70_000);
        await reap(world);
        expect(await isGone(world, session)).toBe(true);
      });
    }

    fact("keeps an idle session for as long as it can be recovered", async (world) => {
      const session = await world.create({
        policy: { idleTimeoutMs: 60_000, retentionMs: 10_000, recoveryWindowMs: 3_600_000 },
      });

      await world.at(3_659_999);
      await reap(world);
      expect(await world.outcome(session)).toBe("expired-idle");
      await world.at(3_660_000);
      await reap(world);
      expect(await isGone(world, session)).toBe(true);
    });

    fact("looks at no more than it was told", async (world) => {
      for (let count = 0; count < 7; count += 1) {
        await world.create({ subject: "", policy: { idleTimeoutMs: 1_000, retentionMs: 0 } });
      }
      await world.at(1_000);

      expect(await reap(world, 3)).toBe(3);
      expect(await reap(world, 3)).toBe(3);
      expect(await reap(world, 3)).toBe(1);
      expect(await reap(world, 3)).toBe(0);
    });

    fact("does not touch other partitions", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 1_000, retentionMs: 0 } });
      await world.at(1_000);

      await world.store.sessions.reap((PARTITION + 1) % 16, 1_000);

      expect(await isGone(world, session)).toBe(false);
    });

    fact(
      "appends no event: expiry is no news to a client that knows the deadline",
      async (world) => {
        await world.create({ policy: { idleTimeoutMs: 1_000, retentionMs: 0 } });
        await world.at(1_000);
        await reap(world);

        expect(await world.events()).toEqual([]);
      },
    );
  });

  describe("a subject's index", () => {
    fact("keeps an id under a cutoff until its end is written", async (world) => {
      const session = await world.create({
        policy: { idleTimeoutMs: 60_000, retentionMs: 600_000 },
      });
      await world.revokeSubject();
      const login = await world.create({ policy: { idleTimeoutMs: 3_600_000 } });

      await world.at(60_000);
      await reap(world);
      await world.revoke(login);

      // Every id has left the index, and the subject's cutoff with the last one.
      expect(await world.validate(session)).toMatchObject({
        outcome: "revoked",
        end: { reason: "admin", atMs: START_MS },
      });
    });

    fact("loses its cutoff only with its last id", async (world) => {
      const [first, second] = [await world.create(), await world.create()];
      await world.revokeSubject();
      const login = await world.create();
      await world.revoke(login);

      expect(await world.outcome(first)).toBe("revoked");
      expect(await world.outcome(second)).toBe("revoked");
    });

    fact("that was emptied by creations keeps what they pruned dead", async (world) => {
      const sessions = [await world.create(), await world.create(), await world.create()];
      await world.revokeSubject();
      const login = await world.create();
      await world.revoke(login);
      const another = await world.create();
      await world.revokeSubject();
      const last = await world.create();

      for (const session of [...sessions, another]) {
        expect(await world.validate(session)).toMatchObject({
          outcome: "revoked",
          end: { reason: "admin" },
        });
      }
      expect(await world.outcome(last)).toBe("valid");
    });

    fact("keeps a session that can be recovered through a creation", async (world) => {
      const policy = { idleTimeoutMs: 1_000, recoveryWindowMs: 3_600_000 };
      const idle = await world.create({ policy });
      await world.at(1_000);
      await world.revoke(await world.create({ policy }));

      await world.revokeSubject();

      expect(await world.outcome(idle)).toBe("revoked");
    });

    fact("keeps a session that can be recovered through the reaper", async (world) => {
      const policy = { idleTimeoutMs: 1_000, recoveryWindowMs: 3_600_000 };
      const idle = await world.create({ policy });
      await world.at(1_000);
      expect(await reap(world)).toBe(1);

      await world.revokeSubject();

      expect(await world.outcome(idle)).toBe("revoked");
    });

    fact("lets wider cutoffs hold for as long as a session can live", async (world) => {
      const session = await world.create({
        policy: { idleTimeoutMs: 0, absoluteTimeoutMs: 3_600_000 },
      });
      await world.at(1);
      await world.revokeTenant();
      await world.at(3_599_999);
      await reap(world);

      expect(await world.outcome(session)).toBe("revoked");
    });
  });
}
