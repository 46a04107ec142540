import { describe, expect } from "vitest";

import { cause, type Fact, mustBe, PARTITION, request, START_MS } from "../world.js";

/** Ending many sessions by a cutoff. */
export function describeRevokeScope(fact: Fact): void {
  describeSubject(fact);
  describeExcept(fact);
  describeTenant(fact);
  describeCreatedBefore(fact);
}

function describeSubject(fact: Fact): void {
  describe("a revocation of a subject", () => {
    fact("ends every session of theirs and no other, S-09", async (world) => {
      const theirs = [await world.create(), await world.create()];
      const others = [
        await world.create({ subject: "bob" }),
        await world.create({ tenantId: "umbrella" }),
        await world.create({ subject: "" }),
      ];
      await world.at(1_000);

      const revoked = mustBe(
        await world.revokeSubject({ cause: cause("credential-change") }),
        "revoked",
      );

      expect(revoked.countEstimate).toBe(2);
      for (const session of theirs) {
        expect(await world.validate(session)).toMatchObject({
          outcome: "revoked",
          end: { reason: "credential-change", atMs: START_MS + 1_000, initiatingEntity: "admin" },
        });
      }
      for (const session of others) {
        expect(await world.state(session)).toBe("active");
      }
    });

    fact("is one event that is its own cutoff", async (world) => {
      await world.create();
      await world.create();

      const { revision } = mustBe(await world.revokeSubject(), "revoked");

      expect(await world.events()).toMatchObject([
        {
          revision,
          kind: "revoked",
          target: { kind: "subject", subject: "alice", except: [] },
          cutoff: revision,
          tenantId: "acme",
          reason: "admin",
          initiatingEntity: "admin",
          atMs: START_MS,
        },
      ]);
    });

    fact("lets a login in the same millisecond live, FAULTS row 10", async (world) => {
      const before = await world.create();
      const { revision } = mustBe(await world.revokeSubject(), "revoked");

      const after = await world.create();

      expect(after.record.issued).toEqual(revision);
      expect(await world.outcome(before)).toBe("revoked");
      expect(await world.outcome(after)).toBe("valid");
    });

    fact("ends what was created after an earlier one", async (world) => {
      await world.create();
      await world.revokeSubject();
      const between = await world.create();
      await world.revokeSubject();

      expect(await world.outcome(between)).toBe("revoked");
    });

    fact("without sessions is an event, and no cutoff for the next login", async (world) => {
      const revoked = mustBe(await world.revokeSubject(), "revoked");

      const events = await world.events();
      expect(revoked.countEstimate).toBe(0);
      expect(events).toMatchObject([{ cutoff: revoked.revision }]);
      expect(await world.outcome(await world.create())).toBe("valid");
    });

    fact("outlasts the single revocation of one of their sessions", async (world) => {
      const [first, second] = [await world.create(), await world.create()];
      await world.revokeSubject();
      await world.revoke(first);
      const login = await world.create();
      await world.revoke(login);

      expect(await world.outcome(first)).toBe("revoked");
      expect(await world.outcome(second)).toBe("revoked");
    });

    fact("repeated is handed its result and ends no login since", async (world) => {
      const before = await world.create();
      const first = await world.revokeSubject({ request: request("all") });
      const login = await world.create();

      expect(await world.revokeSubject({ request: request("all") })).toEqual(first);
      expect(await world.events()).toHaveLength(1);
      expect(await world.outcome(before)).toBe("revoked");
      expect(await world.outcome(login)).toBe("valid");
    });

    fact("repeated with other arguments is refused", async (world) => {
      await world.create();
      await world.revokeSubject({ request: request("all") });

      expect(await world.revokeSubject({ request: request("all", "other") })).toEqual({
        kind: "request-id-reused",
      });
    });

    fact(
      "returns the largest staleness bound that was granted",
      async (world) => {
        expect(await world.revokeSubject()).toMatchObject({ leaseMaxMs: 7_000 });
      },
      { maxStalenessMs: 7_000 },
    );
  });
}

function describeExcept(fact: Fact): void {
  describe("a spared session", () => {
    fact("is re-stamped in the same step and lives", async (world) => {
      const [spared, other] = [await world.create(), await world.create()];

      const revoked = mustBe(
        await world.revokeSubject({ exceptSessionId: spared.sessionId }),
        "revoked",
      );

      const reply = await world.validate(spared);
      expect(reply.outcome).toBe("valid");
      expect(reply.record?.issued).toEqual(revoked.revision);
      expect(await world.outcome(other)).toBe("revoked");
      expect(revoked.countEstimate).toBe(1);
      expect(await world.events()).toMatchObject([
        { target: { kind: "subject", subject: "alice", except: [spared.sessionId] } },
      ]);
    });

    fact("is ended by the next cutoff that does not spare it", async (world) => {
      const spared = await world.create();
      await world.revokeSubject({ exceptSessionId: spared.sessionId });
      await world.revokeSubject();

      expect(await world.outcome(spared)).toBe("revoked");
    });

    fact("that is not live refuses the whole revocation", async (world) => {
      const live = await world.create();
      const dead = await world.create();
      await world.revoke(dead);

      for (const exceptSessionId of [dead.sessionId, world.createCommand().sessionId]) {
        expect(await world.revokeSubject({ exceptSessionId })).toEqual({
          kind: "except-not-live",
        });
      }
      expect(await world.outcome(live)).toBe("valid");
      expect(await world.events()).toHaveLength(1);
    });

    fact("of someone else refuses the whole revocation", async (world) => {
      const theirs = await world.create();
      const strangers = [
        await world.create({ subject: "bob" }),
        await world.create({ tenantId: "umbrella" }),
        await world.create({ subject: "" }),
      ];

      for (const { sessionId } of strangers) {
        expect(await world.revokeSubject({ exceptSessionId: sessionId })).toEqual({
          kind: "except-not-live",
        });
      }
      expect(await world.outcome(theirs)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });
  });
}

function describeTenant(fact: Fact): void {
  describe("a revocation of a tenant", () => {
    fact("ends its sessions, anonymous ones too, and no other tenant's", async (world) => {
      const theirs = [await world.create(), await world.create({ subject: "" })];
      const other = await world.create({ tenantId: "umbrella" });

      const { revision } = mustBe(await world.revokeTenant(), "revoked");

      for (const session of theirs) {
        expect(await world.validate(session)).toMatchObject({
          outcome: "revoked",
          end: { reason: "admin" },
        });
      }
      expect(await world.state(other)).toBe("active");
      expect(await world.outcome(await world.create())).toBe("valid");
      expect(await world.events()).toMatchObject([
        {
          revision,
          cutoff: revision,
          tenantId: "acme",
          target: { kind: "tenant", clientId: "", createdBeforeMs: undefined },
        },
      ]);
    });

    fact("holds for a subject that has no cutoff of its own", async (world) => {
      const session = await world.create({ subject: "bob" });
      await world.revokeTenant();

      expect(await world.outcome(session)).toBe("revoked");
    });

    fact("for one client ends that client's sessions alone", async (world) => {
      const web = await world.create({ clientId: "web" });
      const tv = await world.create({ clientId: "tv" });
      const elsewhere = await world.create({ clientId: "tv", tenantId: "umbrella" });

      const { revision } = mustBe(await world.revokeTenant({ clientId: "tv" }), "revoked");

      expect(await world.outcome(web)).toBe("valid");
      expect(await world.outcome(tv)).toBe("revoked");
      expect(await world.state(elsewhere)).toBe("active");
      expect(await world.events()).toMatchObject([
        { cutoff: revision, target: { kind: "tenant", clientId: "tv" } },
      ]);
    });

    fact("has room for a thousand clients and refuses one more", async (world) => {
      for (let first = 0; first < 1_000; first += 100) {
        await Promise.all(
          Array.from({ length: 100 }, (_, index) =>
            world.revokeTenant({ clientId: `client-${first + index}` }),
          ),
        );
      }

      expect(await world.revokeTenant({ clientId: "one-more" })).toEqual({
        kind: "too-many-cutoffs",
        limit: 1_000,
      });
      expect(await world.revokeTenant({ clientId: "client-7" })).toMatchObject({ kind: "revoked" });
      expect(await world.revokeTenant({ clientId: "" })).toMatchObject({ kind: "revoked" });
      expect(await world.revokeTenant({ tenantId: "umbrella", clientId: "tv" })).toMatchObject({
        kind: "revoked",
      });
      expect((await world.head()).sequence - world.start.sequence).toBe(1_003);
    });
  });

  describe("a revocation of everything", () => {
    fact("ends every session of every tenant, and none after it", async (world) => {
      const sessions = [
        await world.create(),
        await world.create({ tenantId: "umbrella", subject: "" }),
      ];

      const { revision } = mustBe(await world.revokeScope({ kind: "all" }), "revoked");

      for (const session of sessions) {
        expect(await world.state(session)).toBe("revoked");
      }
      expect(await world.outcome(await world.create())).toBe("valid");
      expect(await world.events()).toMatchObject([
        { revision, cutoff: revision, tenantId: "", target: { kind: "all" } },
      ]);
    });
  });
}

function describeCreatedBefore(fact: Fact): void {
  describe("a revocation of what was created before an instant", () => {
    fact("ends what is older and spares the instant itself", async (world) => {
      const sessions = [];
      for (const offsetMs of [999, 1_000, 1_001]) {
        await world.at(offsetMs);
        sessions.push(await world.create());
      }

      await world.revokeTenant({ createdBeforeMs: START_MS + 1_000 });

      const outcomes = await Promise.all(sessions.map((session) => world.outcome(session)));
      expect(outcomes).toEqual(["revoked", "valid", "valid"]);
    });

    fact("is no cutoff by revision", async (world) => {
      await world.create();
      await world.at(2_000);

      const { revision } = mustBe(
        await world.revokeTenant({ createdBeforeMs: START_MS + 1_000 }),
        "revoked",
      );

      expect(await world.events()).toMatchObject([
        {
          revision,
          cutoff: undefined,
          target: { kind: "tenant", clientId: "", createdBeforeMs: START_MS + 1_000 },
        },
      ]);
    });

    fact("does not reach into the future", async (world) => {
      const before = await world.create();
      await world.at(1_000);
      await world.revokeTenant({ createdBeforeMs: START_MS + 3_600_000 });

      const login = await world.create();
      await world.at(2_000);

      expect(await world.outcome(before)).toBe("revoked");
      expect(await world.outcome(login)).toBe("valid");
      expect(await world.events()).toMatchObject([
        { target: { createdBeforeMs: START_MS + 1_000 } },
      ]);
    });

    fact("is not weakened by a later one with an earlier instant", async (world) => {
      const session = await world.create();
      await world.at(2_000);
      const first = mustBe(
        await world.revokeTenant({ createdBeforeMs: START_MS + 1_000 }),
        "revoked",
      );
      await world.revokeTenant({ createdBeforeMs: START_MS });

      expect(await world.outcome(session)).toBe("revoked");
      expect(await world.revoke(session)).toMatchObject({
        kind: "already-revoked",
        revision: first.revision,
      });
    });

    fact("for one client spares the others", async (world) => {
      const web = await world.create({ clientId: "web" });
      const tv = await world.create({ clientId: "tv" });
      await world.at(1_000);

      await world.revokeTenant({ clientId: "tv", createdBeforeMs: START_MS + 1 });

      expect(await world.outcome(web)).toBe("valid");
      expect(await world.outcome(tv)).toBe("revoked");
    });

    fact("ends a session that was spared by a cutoff", async (world) => {
      const spared = await world.create();
      await world.revokeSubject({ exceptSessionId: spared.sessionId });
      await world.at(1_000);

      await world.revokeTenant({ createdBeforeMs: START_MS + 1 });

      expect(await world.outcome(spared)).toBe("revoked");
      expect(await world.store.sessions.reap(PARTITION, 100)).toBe(0);
    });
  });
}
