import { describe, expect } from "vitest";

import type { RotationTrigger } from "#server/session/outcome.js";

import {
  type Fact,
  freshDigest,
  mustBe,
  request,
  START_MS,
  type Ticket,
  type World,
} from "../world.js";

const FIXATION_DEFENCE: readonly RotationTrigger[] = [
  "login",
  "reauthentication",
  "privilege-change",
  "credential-change",
];

/** Rotation, DESIGN §4. */
export function describeRotate(fact: Fact): void {
  describePeriodic(fact);
  describeFixationDefence(fact);
  describeReuse(fact);
  describeRotationRefusals(fact);
  describeRotationRepeats(fact);
}

function describePeriodic(fact: Fact): void {
  describe("a PERIODIC rotation", () => {
    fact("installs the successor and keeps the presented token for the grace", async (world) => {
      const session = await world.create({ policy: { rotationGraceMs: 30_000 } });
      await world.at(1_000);

      const next = await world.rotate(session, "periodic", { eventId: "the rotation" });

      expect(next).toMatchObject({ previousValidForMs: 30_000 });
      expect(await world.validate(next)).toMatchObject({
        outcome: "valid",
        graceLeftMs: undefined,
      });
      expect(await world.validate(session)).toMatchObject({
        outcome: "valid",
        graceLeftMs: 30_000,
      });
      expect(await world.events()).toMatchObject([
        {
          revision: next.revision,
          eventId: "the rotation",
          kind: "changed",
          trigger: "periodic",
          cutoff: undefined,
          target: { kind: "session", sessionId: session.sessionId },
        },
      ]);
    });

    for (const [offsetMs, outcome, graceLeftMs] of [
      [-1, "valid", 1],
      [0, "rotated", undefined],
      [1, "rotated", undefined],
    ] as const) {
      fact(
        `lets the old token answer ${outcome} ${offsetMs} ms from the grace's end`,
        async (world) => {
          const session = await world.create({ policy: { rotationGraceMs: 30_000 } });
          const next = await world.rotate(session, "periodic");

          await world.at(30_000 + offsetMs);

          const reply = await world.validate(session);
          expect(reply).toMatchObject({ outcome, graceLeftMs });
          expect(reply.end).toBeUndefined();
          expect(await world.outcome(next)).toBe("valid");
        },
      );
    }

    fact("with a grace of zero ends the old token at once", async (world) => {
      const session = await world.create({ policy: { rotationGraceMs: 0 } });

      const next = await world.rotate(session, "periodic");

      expect(next.previousValidForMs).toBe(0);
      expect(await world.outcome(session)).toBe("rotated");
    });

    fact("with the token in grace is handed the same successor", async (world) => {
      const session = await world.create();
      const first = await world.rotate(session, "periodic");
      await world.at(10_000);

      const second = await world.rotate(session, "periodic");

      expect(second).toMatchObject({
        nonce: first.nonce,
        successorDigest: first.successorDigest,
        revision: first.revision,
        previousValidForMs: 20_000,
      });
      expect(await world.events()).toHaveLength(1);
    });

    fact("by 64 callers at once installs one successor, S-06", async (world) => {
      const session = await world.create();

      const results = await Promise.all(
        Array.from({ length: 64 }, () => world.rotate(session, "periodic")),
      );

      expect(new Set(results.map(({ successorDigest }) => successorDigest)).size).toBe(1);
      expect(new Set(results.map(({ nonce }) => nonce)).size).toBe(1);
      expect(await world.events()).toHaveLength(1);
    });

    fact("with the successor ends the grace of the token before", async (world) => {
      const first = await world.create();
      const second = await world.rotate(first, "periodic");
      await world.at(1_000);

      const third = await world.rotate(second, "periodic");

      expect(await world.outcome(first)).toBe("rotated");
      expect(await world.validate(second)).toMatchObject({
        outcome: "valid",
        graceLeftMs: 30_000,
      });
      expect(await world.outcome(third)).toBe("valid");
      expect(await world.tryRotate(first, "periodic")).toMatchObject({
        kind: "refused",
        outcome: "rotated",
      });
    });

    fact("keeps id, version, creation and absolute deadline", async (world) => {
      const session = await world.create();
      await world.at(60_000);

      const { record } = await world.rotate(session, "periodic");

      expect(record).toMatchObject({
        sessionId: session.sessionId,
        version: 1,
        createdAtMs: START_MS,
        absoluteDeadlineMs: session.record.absoluteDeadlineMs,
        issued: session.record.issued,
        state: "active",
      });
      expect(record.facts).toEqual(session.record.facts);
    });
  });
}

function describeFixationDefence(fact: Fact): void {
  describe("a rotation that is fixation defence", () => {
    for (const trigger of FIXATION_DEFENCE) {
      fact(`for ${trigger} ends the presented token at once, S-06`, async (world) => {
        const session = await world.create();

        const next = await world.rotate(session, trigger);

        expect(next.previousValidForMs).toBe(0);
        expect(await world.outcome(session)).toBe("rotated");
        expect(await world.outcome(next)).toBe("valid");
        expect(await world.events()).toMatchObject([{ kind: "changed", trigger }]);
      });

      fact(`for ${trigger} with the token in grace is one of its own`, async (world) => {
        const session = await world.create();
        const tab = await world.rotate(session, "periodic");

        const next = await world.rotate(session, trigger);

        expect(next.successorDigest).not.toBe(tab.successorDigest);
        expect(next.nonce).not.toBe(tab.nonce);
        expect(await world.outcome(session)).toBe("rotated");
        expect(await world.outcome(next)).toBe("valid");
      });
    }

    fact("ends a PERIODIC successor that someone else took", async (world) => {
      const session = await world.create();
      const taken = await world.rotate(session, "periodic");

      await world.rotate(session, "login");

      expect(await world.outcome(taken)).toBe("rotated");
      expect(await world.tryRotate(taken, "periodic")).toMatchObject({
        kind: "refused",
        outcome: "rotated",
      });
    });

    fact("is never handed what a PERIODIC rotation is handed", async (world) => {
      const session = await world.create();
      const next = await world.rotate(session, "login");

      expect(await world.tryRotate(session, "periodic")).toMatchObject({
        kind: "refused",
        outcome: "rotated",
        revision: undefined,
      });
      expect(await world.outcome(next)).toBe("valid");
    });

    fact("by two callers at once logs nobody out", async (world) => {
      const session = await world.create();

      const results = await Promise.all([
        world.tryRotate(session, "login"),
        world.tryRotate(session, "login"),
      ]);

      const [winner, loser] =
        results[0].kind === "rotated" ? [results[0], results[1]] : [results[1], results[0]];
      const { successorDigest } = mustBe(winner, "rotated");
      expect(loser).toMatchObject({ kind: "refused", outcome: "rotated" });
      expect(await world.outcome({ ...session, tokenDigest: successorDigest })).toBe("valid");
    });

    fact("raises facts and version in the same step", async (world) => {
      const session = await world.create();
      const raised = {
        facts: Buffer.from("raised"),
        expectedVersion: 1,
        checked: { aal: 2, amr: ["otp"], authenticatedAtMs: START_MS },
      };

      const next = await world.rotate(session, "reauthentication", { raised });

      expect(next.record).toMatchObject({ version: 2 });
      expect(next.record.facts).toEqual(Buffer.from("raised"));
      expect(
        await world.validate(next, {
          requirements: { minAal: 2, maxAuthAgeMs: 0, requiredAmr: ["otp"] },
        }),
      ).toMatchObject({ outcome: "valid", authenticatedAtMs: START_MS });
    });

    fact("at another version is a conflict and changes nothing", async (world) => {
      const session = await world.create();
      await world.update(session);
      const raised = {
        facts: Buffer.from("raised"),
        expectedVersion: 1,
        checked: { aal: 2, amr: [], authenticatedAtMs: undefined },
      };

      expect(await world.tryRotate(session, "login", { raised })).toEqual({
        kind: "version-conflict",
        version: 2,
      });
      expect(await world.outcome(session)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });

    fact("keeps the absolute deadline", async (world) => {
      const session = await world.create({
        policy: { absoluteTimeoutMs: 60_000, idleTimeoutMs: 0 },
      });
      await world.at(59_999);
      const next = await world.rotate(session, "login");

      await world.at(60_000);

      expect(await world.outcome(next)).toBe("expired-absolute");
    });
  });
}

function describeReuse(fact: Fact): void {
  describe("a retired token", () => {
    for (const [offsetMs, outcome] of [
      [-1, "rotated"],
      [0, "revoked"],
      [1, "revoked"],
    ] as const) {
      fact(`presented ${offsetMs} ms from 30 s after its end is ${outcome}`, async (world) => {
        const session = await world.create();
        await world.at(1_000);
        const next = await world.rotate(session, "login");

        await world.at(31_000 + offsetMs);

        expect(await world.tryRotate(session, "login")).toMatchObject({ kind: "refused", outcome });
        expect(await world.outcome(next)).toBe(outcome === "rotated" ? "valid" : "revoked");
      });
    }

    fact("counts from the end of its grace", async (world) => {
      const session = await world.create({ policy: { rotationGraceMs: 10_000 } });
      await world.rotate(session, "periodic");

      await world.at(39_999);
      expect(await world.tryRotate(session, "periodic")).toMatchObject({ outcome: "rotated" });
      await world.at(40_000);
      expect(await world.tryRotate(session, "periodic")).toMatchObject({ outcome: "revoked" });
    });

    fact("that is reused revokes the session with one event", async (world) => {
      const session = await world.create();
      const next = await world.rotate(session, "login");
      await world.at(30_000);

      const reuse = mustBe(
        await world.tryRotate(session, "periodic", { eventId: "the reuse" }),
        "refused",
      );

      const end = { reason: "token-reuse", atMs: START_MS + 30_000, initiatingEntity: "system" };
      expect(reuse).toMatchObject({ outcome: "revoked", end });
      expect((await world.events()).at(-1)).toMatchObject({
        revision: reuse.revision,
        eventId: "the reuse",
        kind: "revoked",
        reason: "token-reuse",
        initiatingEntity: "system",
      });
      expect(await world.validate(next)).toMatchObject({ outcome: "revoked", end });
      expect(await world.tryRotate(session, "periodic")).toMatchObject({
        kind: "refused",
        outcome: "revoked",
        end,
        revision: undefined,
      });
      expect(await world.events()).toHaveLength(2);
    });

    fact("that is validated, however late, changes nothing", async (world) => {
      const session = await world.create();
      const next = await world.rotate(session, "login");
      await world.at(60_000);

      expect(await world.validate(session, { touch: true })).toMatchObject({
        outcome: "rotated",
        end: undefined,
        record: undefined,
      });

      expect(await world.outcome(next)).toBe("valid");
      expect(await world.events()).toHaveLength(1);
    });

    fact("is remembered for four rotations and then unknown", async (world) => {
      const tickets: Ticket[] = [await world.create()];
      for (let count = 0; count < 5; count += 1) {
        tickets.push(await world.rotate(tickets.at(-1) ?? expect.fail("no ticket"), "login"));
      }

      const outcomes = [];
      for (const ticket of tickets) {
        outcomes.push(await world.outcome(ticket));
      }

      expect(outcomes).toEqual(["not-found", "rotated", "rotated", "rotated", "rotated", "valid"]);
    });

    fact("that is forgotten can hurt nobody", async (world) => {
      const tickets: Ticket[] = [await world.create()];
      for (let count = 0; count < 5; count += 1) {
        tickets.push(await world.rotate(tickets.at(-1) ?? expect.fail("no ticket"), "login"));
      }
      await world.at(60_000);

      expect(await world.tryRotate(tickets[0] ?? expect.fail("no ticket"), "login")).toMatchObject({
        kind: "refused",
        outcome: "not-found",
      });
      expect(await world.outcome(tickets.at(-1) ?? expect.fail("no ticket"))).toBe("valid");
    });
  });
}

function describeRotationRefusals(fact: Fact): void {
  describe("a rotation", () => {
    fact("with an unknown secret is not found and changes nothing, S-02", async (world) => {
      const session = await world.create();

      for (const trigger of ["periodic", "login"] as const) {
        expect(await world.tryRotate({ ...session, tokenDigest: freshDigest() }, trigger)).toEqual({
          kind: "refused",
          outcome: "not-found",
          end: undefined,
          revision: undefined,
        });
      }
      expect(await world.outcome(session)).toBe("valid");
      expect(await world.events()).toEqual([]);
    });

    fact("of an unknown session is not found", async (world) => {
      expect(await world.tryRotate(world.createCommand(), "login")).toMatchObject({
        kind: "refused",
        outcome: "not-found",
      });
    });

    fact("of a session that has ended is refused with its end", async (world) => {
      const revoked = await world.create();
      const idle = await world.create({ policy: { idleTimeoutMs: 1_000 } });
      const absolute = await world.create({
        policy: { idleTimeoutMs: 0, absoluteTimeoutMs: 1_000 },
      });
      await world.revoke(revoked);
      await world.at(1_000);

      expect(await world.tryRotate(revoked, "periodic")).toMatchObject({
        kind: "refused",
        outcome: "revoked",
        end: { reason: "admin" },
        revision: undefined,
      });
      expect(await world.tryRotate(idle, "login")).toMatchObject({
        outcome: "expired-idle",
        end: { atMs: START_MS + 1_000 },
      });
      expect(await world.tryRotate(absolute, "login")).toMatchObject({
        outcome: "expired-absolute",
      });
    });

    fact("of a session under a cutoff is refused with the cutoff's reason", async (world) => {
      const session = await world.create();
      await world.revokeSubject();

      expect(await world.tryRotate(session, "login")).toMatchObject({
        kind: "refused",
        outcome: "revoked",
        end: { reason: "admin" },
        revision: undefined,
      });
    });

    fact("does not lift a session over a cutoff", async (world) => {
      const session = await world.create();
      const next = await world.rotate(session, "login");
      await world.revokeSubject();

      expect(await world.outcome(next)).toBe("revoked");
    });
  });
}

function describeRotationRepeats(fact: Fact): void {
  describe("a repeated rotation", () => {
    async function rotateTwice(
      world: World,
      trigger: RotationTrigger,
    ): Promise<readonly [Ticket, Awaited<ReturnType<World["rotate"]>>]> {
      const session = await world.create();
      return [session, await world.rotate(session, trigger, { request: request("rotate") })];
    }

    for (const trigger of ["periodic", ...FIXATION_DEFENCE] as const) {
      fact(`for ${trigger} is handed the same successor`, async (world) => {
        const [session, first] = await rotateTwice(world, trigger);

        const again = await world.rotate(session, trigger, { request: request("rotate") });

        expect(again).toMatchObject({
          nonce: first.nonce,
          successorDigest: first.successorDigest,
          revision: first.revision,
          previousValidForMs: first.previousValidForMs,
        });
        expect(await world.events()).toHaveLength(1);
        expect(await world.outcome(first)).toBe("valid");
      });
    }

    fact("long after the first is still no reuse", async (world) => {
      const [session, first] = await rotateTwice(world, "login");
      await world.at(60_000);

      const again = await world.rotate(session, "login", { request: request("rotate") });

      expect(again.successorDigest).toBe(first.successorDigest);
      expect(await world.outcome(first)).toBe("valid");
    });

    fact("with a request of its own never gets a LOGIN's successor", async (world) => {
      const [session, first] = await rotateTwice(world, "login");

      const other = await world.tryRotate(session, "login", { request: request("another") });

      expect(other).toMatchObject({ kind: "refused", outcome: "rotated" });
      expect(await world.outcome(first)).toBe("valid");
    });

    fact("with other arguments is refused", async (world) => {
      const [session, first] = await rotateTwice(world, "login");

      expect(
        await world.tryRotate(session, "login", { request: request("rotate", "other") }),
      ).toEqual({ kind: "request-id-reused" });
      expect(await world.outcome(first)).toBe("valid");
    });

    fact("whose successor was rotated away is superseded", async (world) => {
      const [session, first] = await rotateTwice(world, "login");
      await world.rotate(first, "login");

      expect(await world.tryRotate(session, "login", { request: request("rotate") })).toEqual({
        kind: "superseded",
        sessionId: session.sessionId,
      });
    });

    fact("whose successor is in grace is handed it", async (world) => {
      const [session, first] = await rotateTwice(world, "login");
      await world.rotate(first, "periodic");

      const again = await world.rotate(session, "login", { request: request("rotate") });

      expect(again.successorDigest).toBe(first.successorDigest);
    });

    fact("of a session that has ended since is superseded", async (world) => {
      const [session] = await rotateTwice(world, "login");
      await world.revoke(session);

      expect((await world.tryRotate(session, "login", { request: request("rotate") })).kind).toBe(
        "superseded",
      );
    });
  });
}
