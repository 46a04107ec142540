import { describe, expect } from "vitest";

import {
  cause,
  type Fact,
  mustBe,
  PARTITION,
  START_MS,
  type Ticket,
  type World,
} from "../world.js";

const SEED = 20_261_121;

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

    fact("keeps a live session that the reaper looked at", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(59_999);
      await world.use(session);
      await world.at(60_000);
      expect(await reap(world)).toBe(1);

      await world.revokeSubject();

      expect(await world.outcome(session)).toBe("revoked");
    });

    fact("keeps its cutoff while an id is left whose end is not written", async (world) => {
      const covered = await world.create();
      const spared = await world.create();
      await world.revokeSubject({ exceptSessionId: spared.sessionId });

      await world.revoke(spared);

      expect(await world.outcome(covered)).toBe("revoked");
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

    for (const [how, prune] of [
      ["a creation", async (world: World) => await world.create()],
      ["the reaper", async (world: World) => await reap(world)],
    ] as const) {
      fact(
        `lets an expired id go with its end, which a cutoff cannot change (${how})`,
        async (world) => {
          const policy = { retentionMs: 600_000 };
          const idle = await world.create({ policy: { ...policy, idleTimeoutMs: 60_000 } });
          const absolute = await world.create({ policy: { ...policy, absoluteTimeoutMs: 60_000 } });
          await world.at(60_000);
          await prune(world);
          const ends = [await world.validate(idle), await world.validate(absolute)];
          expect(ends).toMatchObject([
            { outcome: "expired-idle", end: { reason: "unspecified", atMs: START_MS + 60_000 } },
            {
              outcome: "expired-absolute",
              end: { reason: "unspecified", atMs: START_MS + 60_000 },
            },
          ]);

          // Another session keeps the cutoff in force, and takes it along when it goes.
          const other = await world.create();
          const { revision } = mustBe(await world.revokeSubject(), "revoked");
          const during = [await world.validate(idle), await world.validate(absolute)];
          await reap(world);
          await world.create();
          await world.revoke(other);
          const after = [await world.validate(idle), await world.validate(absolute)];

          expect([...during, ...after].map(({ outcome, end }) => ({ outcome, end }))).toEqual(
            [...ends, ...ends].map(({ outcome, end }) => ({ outcome, end })),
          );
          expect(during[0]?.asOf).toEqual(revision);
          for (const session of [idle, absolute]) {
            expect(await world.state(session)).toBe("expired");
          }
        },
      );

      fact(`lets an expired id go, and it can still be revoked (${how})`, async (world) => {
        const session = await world.create({
          policy: { idleTimeoutMs: 60_000, retentionMs: 600_000 },
        });
        await world.at(60_000);
        await prune(world);

        expect((await world.revoke(session)).kind).toBe("revoked");

        expect(await world.validate(session)).toMatchObject({
          outcome: "revoked",
          end: { reason: "admin", atMs: START_MS + 60_000 },
        });
        expect((await world.revoke(session)).kind).toBe("already-revoked");
      });

      fact(`deletes what was pruned when its retention is over (${how})`, async (world) => {
        const session = await world.create({
          policy: { idleTimeoutMs: 60_000, retentionMs: 10_000 },
        });
        await world.at(60_000);
        await prune(world);

        await world.at(69_999);
        await reap(world);
        expect(await world.outcome(session)).toBe("expired-idle");
        await world.at(70_000);
        await reap(world);
        expect(await isGone(world, session)).toBe(true);
      });
    }

    fact("misses no id whose record has no end, whatever happened", async (world) => {
      const sessions = await liveThrough(world, 600);

      // All that the index holds is revoked through it; a cutoff then covers whatever else has no
      // end written. A session that it covers was out of the index and had none.
      await world.store.sessions.revokeDevice(world.deviceCommand({ cause: cause("user-logout") }));
      const probe = await world.create({ policy: { maxSessionsPerSubject: 0 } });
      await world.revokeSubject({ cause: cause("security-policy") });

      expect(await world.outcome(probe)).toBe("revoked");
      const reasons = await Promise.all(
        sessions.map(async (session) => (await world.store.sessions.read(session.sessionId))?.end),
      );
      expect(reasons.filter((end) => end?.reason === "security-policy")).toEqual([]);
      expect(new Set(reasons.map((end) => end?.reason))).toEqual(
        new Set([undefined, "unspecified", "user-logout", "admin", "limit-exceeded"]),
      );
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

/** Creates, uses, expires, revokes and reaps one subject's sessions, by the seed; all it created. */
async function liveThrough(world: World, steps: number): Promise<readonly Ticket[]> {
  const sessions: Ticket[] = [];
  let offsetMs = 0;
  let state = SEED;
  function below(max: number): number {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % max;
  }
  for (let step = 0; step < steps; step += 1) {
    const session =
      sessions[sessions.length - 1 - below(Math.max(1, Math.min(sessions.length, 8)))];
    const kind = below(10);
    if (kind < 4 || session === undefined) {
      const policy = {
        idleTimeoutMs: [2_000, 20_000, 0][below(3)] ?? 0,
        absoluteTimeoutMs: [5_000, 600_000][below(2)] ?? 0,
        recoveryWindowMs: [0, 15_000][below(2)] ?? 0,
        maxSessionsPerSubject: [0, 3][below(2)] ?? 0,
        retentionMs: 600_000,
      };
      sessions.push(await world.create({ policy }));
    } else if (kind < 7) {
      offsetMs += below(4_000);
      await world.at(offsetMs);
    } else if (kind === 7) {
      await world.use(session);
    } else if (kind === 8) {
      await world.store.sessions.reap(PARTITION, 1 + below(20));
    } else {
      await (below(3) === 0 ? world.revokeSubject() : world.revoke(session));
    }
  }
  return sessions;
}
