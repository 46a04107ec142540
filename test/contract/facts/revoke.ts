import { describe, expect } from "vitest";

import { cause, type Fact, freshDigest, mustBe, PARTITION, request, START_MS } from "../world.js";

/** Ending one session. */
export function describeRevoke(fact: Fact): void {
  describe("a revocation", () => {
    fact("ends the session for every validation that starts afterwards, R1", async (world) => {
      const session = await world.create();
      await world.at(1_000);

      const revoked = mustBe(
        await world.revoke(session, { cause: cause("account-disabled"), eventId: "the end" }),
        "revoked",
      );

      const end = {
        reason: "account-disabled",
        atMs: START_MS + 1_000,
        initiatingEntity: "admin",
        reasonUser: "Signed out by support",
      };
      expect(await world.validate(session)).toMatchObject({ outcome: "revoked", end });
      expect(await world.store.sessions.read(session.sessionId)).toMatchObject({
        state: "revoked",
        end,
      });
      expect(await world.events()).toEqual([
        {
          revision: revoked.revision,
          eventId: "the end",
          kind: "revoked",
          trigger: undefined,
          target: { kind: "session", sessionId: session.sessionId },
          cutoff: undefined,
          tenantId: "acme",
          reason: "account-disabled",
          initiatingEntity: "admin",
          atMs: START_MS + 1_000,
        },
      ]);
    });

    fact(
      "returns the largest staleness bound that was granted",
      async (world) => {
        const session = await world.create();

        expect(await world.revoke(session)).toMatchObject({ leaseMaxMs: 7_000 });
        expect(await world.revoke(session)).toMatchObject({ leaseMaxMs: 7_000 });
      },
      { maxStalenessMs: 7_000 },
    );

    fact("takes the current token, one in grace and a retired one", async (world) => {
      for (const presented of ["current", "grace", "retired"] as const) {
        const retired = await world.create({ subject: "" });
        const grace = await world.rotate(retired, "periodic");
        const current = await world.rotate(grace, "periodic");
        const { tokenDigest } = { current, grace, retired }[presented];

        expect(await world.revoke(current, { presentedDigest: tokenDigest })).toMatchObject({
          kind: "revoked",
        });
        expect(await world.outcome(current)).toBe("revoked");
      }
    });

    fact("with an unknown secret is not found and changes nothing", async (world) => {
      const session = await world.create();

      expect(await world.revoke(session, { presentedDigest: freshDigest() })).toEqual({
        kind: "not-found",
      });
      expect(await world.outcome(session)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });

    fact("of an unknown session is not found", async (world) => {
      expect(await world.revoke(world.createCommand())).toEqual({ kind: "not-found" });
    });

    fact("takes an expired session, which could be recovered otherwise", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 1_000 } });
      await world.at(1_000);

      expect(await world.revoke(session)).toMatchObject({ kind: "revoked" });
      expect(await world.validate(session)).toMatchObject({
        outcome: "revoked",
        end: { reason: "admin" },
      });
    });

    fact("of a revoked session names the event that ended it", async (world) => {
      const session = await world.create();
      const first = mustBe(await world.revoke(session), "revoked");

      const second = await world.revoke(session, { cause: cause("user-logout") });

      expect(second).toMatchObject({ kind: "already-revoked", revision: first.revision });
      expect(await world.validate(session)).toMatchObject({ end: { reason: "admin" } });
      expect(await world.events()).toHaveLength(1);
    });

    fact("of a session under a cutoff names the cutoff's event", async (world) => {
      const session = await world.create();
      const cutoff = mustBe(await world.revokeSubject(), "revoked");

      expect(await world.revoke(session)).toMatchObject({
        kind: "already-revoked",
        revision: cutoff.revision,
      });
      expect(await world.events()).toHaveLength(1);
    });

    fact("of a session under several cutoffs names the first", async (world) => {
      const session = await world.create();
      const first = mustBe(
        await world.revokeScope(
          { kind: "tenant", tenantId: "acme", clientId: "", createdBeforeMs: undefined },
          { cause: cause("security-policy") },
        ),
        "revoked",
      );
      await world.revokeSubject();
      await world.revokeScope({ kind: "all" });

      expect(await world.revoke(session)).toMatchObject({ revision: first.revision });
      expect((await world.validate(session)).end?.reason).toBe("security-policy");
    });

    fact("by 16 callers at once is one event", async (world) => {
      const session = await world.create();

      const results = await Promise.all(Array.from({ length: 16 }, () => world.revoke(session)));

      expect(results.filter(({ kind }) => kind === "revoked")).toHaveLength(1);
      expect(await world.events()).toHaveLength(1);
    });

    fact("repeated is handed its result", async (world) => {
      const session = await world.create();
      const first = await world.revoke(session, { request: request("revoke") });

      expect(await world.revoke(session, { request: request("revoke") })).toEqual(first);
      expect(await world.events()).toHaveLength(1);
    });

    fact("repeated with other arguments is refused", async (world) => {
      const session = await world.create();
      await world.revoke(session, { request: request("revoke") });

      expect(await world.revoke(session, { request: request("revoke", "other") })).toEqual({
        kind: "request-id-reused",
      });
    });

    fact("without effect leaves its request free", async (world) => {
      const session = await world.create();
      await world.revoke(session, {
        presentedDigest: freshDigest(),
        request: request("revoke"),
      });

      expect(await world.revoke(session, { request: request("revoke", "other") })).toMatchObject({
        kind: "revoked",
      });
    });
  });

  describe("a revoked session", () => {
    fact("explains itself until its retention is over and is then gone", async (world) => {
      const session = await world.create({ policy: { retentionMs: 10_000 } });
      await world.at(1_000);
      await world.revoke(session);

      await world.at(10_999);
      await world.store.sessions.reap(PARTITION, 100);
      expect(await world.outcome(session)).toBe("revoked");

      await world.at(11_000);
      await world.store.sessions.reap(PARTITION, 100);
      expect(await world.outcome(session)).toBe("not-found");
      expect(await world.store.sessions.read(session.sessionId)).toBeUndefined();
    });

    fact("stays revoked whatever is done to it, S-08", async (world) => {
      const session = await world.create({ request: request("create") });
      await world.revoke(session);

      await world.at(120_000);
      await world.use(session);
      await world.store.sessions.touch(PARTITION, [{ ...session, idleForMs: 0 }]);
      await world.update(session);
      await world.tryRotate(session, "periodic");
      await world.tryRotate(session, "login");
      await world.tryCreate({ request: request("create") });
      await world.revokeSubject();
      await world.store.sessions.reap(PARTITION, 100);

      expect(await world.outcome(session)).toBe("revoked");
      expect((await world.store.sessions.read(session.sessionId))?.version).toBe(1);
    });

    fact(
      "stays revoked against uses, updates and rotations at the same time, S-08",
      async (world) => {
        for (let round = 0; round < 20; round += 1) {
          const session = await world.create({ subject: "" });
          const others = Array.from({ length: 5 }, () => [
            world.use(session),
            world.store.sessions.touch(PARTITION, [{ ...session, idleForMs: 0 }]),
            world.update(session),
            world.tryRotate(session, "periodic"),
          ]).flat();
          const revoked = await world.revoke(session);
          const outcomes = await Promise.all([world.outcome(session), world.outcome(session)]);
          await Promise.all(others);

          expect(revoked.kind).toBe("revoked");
          expect(new Set(outcomes)).toEqual(new Set(["revoked"]));
          expect(await world.outcome(session)).toBe("revoked");
        }
      },
    );
  });
}
