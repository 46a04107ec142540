import { describe, expect } from "vitest";

import type { LimitAction } from "#server/session/policy.js";

import { type Fact, mustBe, PARTITION, request, START_MS, type World } from "../world.js";

/** Creation: limits, evictions, repeats. */
export function describeCreate(fact: Fact): void {
  describe("a created session", () => {
    fact("is live from the instant of its creation", async (world) => {
      const created = await world.create({ policy: { absoluteTimeoutMs: 60_000 } });

      expect(created).toMatchObject({ repeated: false, evicted: [] });
      expect(created.record).toMatchObject({
        sessionId: created.sessionId,
        state: "active",
        createdAtMs: START_MS,
        lastSeenAtMs: START_MS,
        updatedAtMs: START_MS,
        absoluteDeadlineMs: START_MS + 60_000,
        version: 1,
        end: undefined,
        nowMs: START_MS,
      });
      expect(created.record.facts).toEqual(Buffer.from("facts"));
      expect(await world.outcome(created)).toBe("valid");
    });

    fact("is issued at the head of the log and appends nothing", async (world) => {
      const created = await world.create();

      expect(created.revision).toEqual(world.start);
      expect(created.record.issued).toEqual(world.start);
      expect(await world.events()).toEqual([]);
    });

    fact("keeps its facts byte for byte", async (world) => {
      const facts = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

      const created = await world.create({ facts });

      expect((await world.store.sessions.read(created.sessionId))?.facts).toEqual(facts);
    });

    fact("of nobody is in no index and under no limit", async (world) => {
      const anonymous = await Promise.all(
        Array.from({ length: 5 }, () => world.create({ subject: "" })),
      );
      const page = await world.store.sessions.list({
        tenantId: "acme",
        subject: "",
        limit: 10,
        after: undefined,
      });

      expect(page).toEqual({ records: [], next: undefined });
      for (const session of anonymous) {
        expect(session.evicted).toEqual([]);
        expect(await world.outcome(session)).toBe("valid");
      }
    });
  });
  describeLimits(fact);
  describeCreateRepeats(fact);
  describeClaims(fact);
}

/** Two logins that take over from one anonymous session must not both evict (DESIGN §4). */
function describeClaims(fact: Fact): void {
  const claim = request("login of one anonymous session").key;

  describe("a claimed creation", () => {
    fact("is refused and evicts nothing while another session lives under it", async (world) => {
      const policy = { maxSessionsPerSubject: 1 };
      const first = await world.create({ claim, policy });

      const second = await world.tryCreate({ claim, policy });

      expect(second).toEqual({ kind: "claimed", sessionId: first.sessionId });
      expect(await world.outcome(first)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });

    fact("goes on once that session has ended, and claims for itself", async (world) => {
      const first = await world.create({ claim });
      await world.revoke({ sessionId: first.sessionId });

      const second = await world.create({ claim });

      expect(await world.tryCreate({ claim })).toEqual({
        kind: "claimed",
        sessionId: second.sessionId,
      });
    });

    fact("goes on where a cutoff ended that session", async (world) => {
      await world.create({ claim });
      await world.revokeSubject();

      expect((await world.tryCreate({ claim })).kind).toBe("created");
    });

    fact("is handed its own result as a repeat", async (world) => {
      const record = request("login");
      const first = await world.create({ claim, request: record });

      expect(await world.create({ claim, request: record })).toMatchObject({
        sessionId: first.sessionId,
        repeated: true,
      });
    });

    fact("is not refused without a claim, or under another", async (world) => {
      await world.create({ claim });

      expect((await world.tryCreate()).kind).toBe("created");
      expect((await world.tryCreate({ claim: request("another").key })).kind).toBe("created");
    });
  });
}

async function createSpread(
  world: World,
  limitAction: LimitAction,
): Promise<readonly { readonly sessionId: string; readonly tokenDigest: string }[]> {
  const sessions = [];
  for (const offsetMs of [0, 1_000, 2_000]) {
    await world.at(offsetMs);
    sessions.push(await world.create({ policy: { limitAction } }));
  }
  return sessions;
}

function describeLimits(fact: Fact): void {
  describe("at the session limit", () => {
    fact("DENY creates nothing and says how many sessions live", async (world) => {
      const sessions = await createSpread(world, "deny");

      const result = await world.tryCreate({ policy: { limitAction: "deny" } });

      expect(result).toEqual({ kind: "limit-reached", liveSessions: 3 });
      expect(await world.events()).toEqual([]);
      for (const session of sessions) {
        expect(await world.outcome(session)).toBe("valid");
      }
    });

    fact("DENY makes room once a session has ended", async (world) => {
      const [first] = await createSpread(world, "deny");
      await world.revoke({ sessionId: first?.sessionId ?? "" });

      expect((await world.tryCreate({ policy: { limitAction: "deny" } })).kind).toBe("created");
      expect((await world.tryCreate({ policy: { limitAction: "deny" } })).kind).toBe(
        "limit-reached",
      );
    });

    fact("EVICT_OLDEST ends the session that was created first", async (world) => {
      const [oldest, ...others] = await createSpread(world, "evict-oldest");
      await world.use(oldest ?? expect.fail("no session"));

      const created = await world.create({ policy: { limitAction: "evict-oldest" } });

      expect(created.evicted).toEqual([oldest?.sessionId]);
      for (const session of [...others, created]) {
        expect(await world.outcome(session)).toBe("valid");
      }
    });

    fact("EVICT_LEAST_RECENTLY_USED ends the session unused for longest", async (world) => {
      const [oldest, second] = await createSpread(world, "evict-least-recently-used");
      await world.at(120_000);
      await world.use(oldest ?? expect.fail("no session"));

      const created = await world.create({ policy: { limitAction: "evict-least-recently-used" } });

      expect(created.evicted).toEqual([second?.sessionId]);
    });

    fact("EVICT_ALL ends every session of the subject", async (world) => {
      const sessions = await createSpread(world, "evict-all");

      const created = await world.create({ policy: { limitAction: "evict-all" } });

      expect(created.evicted).toEqual(sessions.map(({ sessionId }) => sessionId));
      expect(await world.outcome(created)).toBe("valid");
    });

    fact(
      "an eviction is one event each, and the evicted session explains itself",
      async (world) => {
        await createSpread(world, "evict-all");

        const created = await world.create({
          policy: { limitAction: "evict-all" },
          eventId: "eviction",
        });
        const events = await world.events();
        const ended = await world.store.sessions.read(created.evicted[0] ?? "");

        expect(events.map(({ target }) => target)).toEqual(
          created.evicted.map((sessionId) => ({ kind: "session", sessionId })),
        );
        expect(events.map(({ eventId }) => eventId)).toEqual([
          "eviction.1",
          "eviction.2",
          "eviction.3",
        ]);
        expect(events[0]).toMatchObject({
          kind: "revoked",
          reason: "limit-exceeded",
          initiatingEntity: "policy",
          cutoff: undefined,
          trigger: undefined,
        });
        expect(created.revision).toEqual(events[2]?.revision);
        expect(created.record.issued).toEqual(events[2]?.revision);
        expect(ended).toMatchObject({
          state: "revoked",
          end: { reason: "limit-exceeded", initiatingEntity: "policy", atMs: START_MS + 2_000 },
        });
      },
    );

    fact("as many sessions go as a lowered limit takes", async (world) => {
      await createSpread(world, "evict-oldest");

      const created = await world.create({ policy: { maxSessionsPerSubject: 1 } });

      expect(created.evicted).toHaveLength(3);
    });

    fact("sessions that expired do not count and are not evicted", async (world) => {
      const policy = { idleTimeoutMs: 1_000, limitAction: "deny" } as const;
      for (let count = 0; count < 3; count += 1) {
        await world.create({ policy });
      }
      await world.at(1_000);

      expect(await world.create({ policy })).toMatchObject({ evicted: [] });
      expect(await world.events()).toEqual([]);
    });

    fact("a session under a cutoff does not count and keeps its explanation", async (world) => {
      const cut = await world.create({ policy: { limitAction: "deny" } });
      await world.revokeSubject();
      for (let count = 0; count < 3; count += 1) {
        await world.create({ policy: { limitAction: "deny" } });
      }

      expect((await world.tryCreate({ policy: { limitAction: "deny" } })).kind).toBe(
        "limit-reached",
      );
      expect(await world.validate(cut)).toMatchObject({
        outcome: "revoked",
        end: { reason: "admin" },
      });
    });

    fact("a session that can be recovered stays without counting", async (world) => {
      const policy = {
        idleTimeoutMs: 1_000,
        recoveryWindowMs: 3_600_000,
        maxSessionsPerSubject: 1,
      } as const;
      const idle = await world.create({ policy });
      await world.at(1_000);

      const created = await world.create({ policy });

      expect(created.evicted).toEqual([]);
      expect(await world.outcome(idle)).toBe("expired-idle");
      expect(await world.outcome(created)).toBe("valid");
    });

    fact("a limit of zero is no limit", async (world) => {
      const sessions = [];
      for (let count = 0; count < 12; count += 1) {
        sessions.push(await world.create({ policy: { maxSessionsPerSubject: 0 } }));
      }

      for (const session of sessions) {
        expect(await world.outcome(session)).toBe("valid");
      }
    });

    fact("other subjects and tenants have limits of their own", async (world) => {
      await createSpread(world, "deny");

      const policy = { limitAction: "deny" } as const;

      expect((await world.tryCreate({ policy, subject: "bob" })).kind).toBe("created");
      expect((await world.tryCreate({ policy, tenantId: "umbrella" })).kind).toBe("created");
    });

    fact("64 creations at once leave three live sessions and 61 evictions, S-10", async (world) => {
      const created = await Promise.all(Array.from({ length: 64 }, () => world.create()));

      const outcomes = await Promise.all(created.map((session) => world.outcome(session)));
      const ended = (await world.events()).map(({ target }) => JSON.stringify(target));

      expect(outcomes.filter((outcome) => outcome === "valid")).toHaveLength(3);
      expect(outcomes.filter((outcome) => outcome === "revoked")).toHaveLength(61);
      expect(ended).toHaveLength(61);
      expect(new Set(ended).size).toBe(61);
    });
  });
}

function describeCreateRepeats(fact: Fact): void {
  describe("a repeated creation", () => {
    fact("is handed the first session and evicts nothing", async (world) => {
      const first = await world.create({ request: request("create") });
      await world.create();
      await world.create();

      const again = await world.create({ request: request("create") });

      expect(again).toMatchObject({
        sessionId: first.sessionId,
        nonce: first.nonce,
        tokenDigest: first.tokenDigest,
        revision: first.revision,
        evicted: [],
        repeated: true,
      });
      expect(await world.events()).toEqual([]);
    });

    fact("names the sessions that the first call evicted", async (world) => {
      await createSpread(world, "evict-oldest");
      const first = await world.create({ request: request("create") });

      const again = await world.create({ request: request("create") });

      expect(first.evicted).toHaveLength(1);
      expect(again.evicted).toEqual(first.evicted);
      expect(await world.events()).toHaveLength(1);
    });

    fact("at once by many callers creates one session", async (world) => {
      const created = await Promise.all(
        Array.from({ length: 16 }, () => world.create({ request: request("create") })),
      );

      expect(new Set(created.map(({ sessionId }) => sessionId)).size).toBe(1);
      expect(created.filter(({ repeated }) => !repeated)).toHaveLength(1);
    });

    fact("with other arguments is refused", async (world) => {
      await world.create({ request: request("create") });

      const result = await world.tryCreate({ request: request("create", "other arguments") });

      expect(result).toEqual({ kind: "request-id-reused" });
      expect(
        await world.store.sessions.list({
          tenantId: "acme",
          subject: "alice",
          limit: 10,
          after: undefined,
        }),
      ).toMatchObject({ records: [{}] });
    });

    fact("is superseded once its session has ended", async (world) => {
      const first = await world.create({ request: request("create") });
      await world.revoke(first);

      expect(await world.tryCreate({ request: request("create") })).toEqual({
        kind: "superseded",
        sessionId: first.sessionId,
      });
    });

    fact("is superseded once its token is neither current nor in grace", async (world) => {
      const first = await world.create({ request: request("create") });
      const second = await world.rotate(first, "periodic");
      const inGrace = await world.tryCreate({ request: request("create") });
      await world.rotate(second, "login");

      expect(inGrace.kind).toBe("created");
      expect((await world.tryCreate({ request: request("create") })).kind).toBe("superseded");
    });

    fact("leaves a refused creation free to be tried again", async (world) => {
      const sessions = await createSpread(world, "deny");
      const attempt = { request: request("create"), policy: { limitAction: "deny" } } as const;
      const refused = await world.tryCreate(attempt);
      await world.revoke(sessions[0] ?? expect.fail("no session"));

      const created = mustBe(await world.tryCreate(attempt), "created");

      expect(refused.kind).toBe("limit-reached");
      expect(created.repeated).toBe(false);
      expect(created.revision.partition).toBe(PARTITION);
    });
  });
}
