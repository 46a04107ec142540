import { describe, expect } from "vitest";

import { type Fact, mustBe, request, START_MS } from "../world.js";

/** Updates of the facts. */
export function describeUpdate(fact: Fact): void {
  describe("an update", () => {
    fact("replaces the facts and raises the version", async (world) => {
      const session = await world.create();
      await world.at(1_000);

      const updated = mustBe(await world.update(session), "updated");

      expect(updated.record).toMatchObject({
        version: 2,
        updatedAtMs: START_MS + 1_000,
        lastSeenAtMs: START_MS,
      });
      expect(updated.record.facts).toEqual(Buffer.from("new facts"));
      expect((await world.validate(session)).record?.facts).toEqual(Buffer.from("new facts"));
    });

    fact("appends nothing unless caches are to forget", async (world) => {
      const session = await world.create();

      const quiet = mustBe(await world.update(session), "updated");
      const loud = mustBe(
        await world.update(session, {
          expectedVersion: 2,
          invalidateCaches: true,
          eventId: "the change",
        }),
        "updated",
      );

      const events = await world.events();
      expect(quiet.revision).toEqual(world.start);
      expect(events).toHaveLength(1);
      expect(events[0]).toMatchObject({
        revision: loud.revision,
        eventId: "the change",
        kind: "changed",
        trigger: undefined,
        cutoff: undefined,
        tenantId: "acme",
        target: { kind: "session", sessionId: session.sessionId },
      });
      expect(await world.outcome(session)).toBe("valid");
    });

    fact("at another version is a conflict and changes nothing", async (world) => {
      const session = await world.create();
      await world.update(session);

      const result = await world.update(session, {
        facts: Buffer.from("lost"),
        invalidateCaches: true,
      });

      expect(result).toEqual({ kind: "version-conflict", version: 2 });
      expect((await world.store.sessions.read(session.sessionId))?.facts).toEqual(
        Buffer.from("new facts"),
      );
      expect(await world.events()).toEqual([]);
    });

    fact("of two at the same version lets one through", async (world) => {
      const session = await world.create();

      const results = await Promise.all([world.update(session), world.update(session)]);

      expect(results.map(({ kind }) => kind).toSorted()).toEqual(["updated", "version-conflict"]);
    });

    fact("that changes nothing writes nothing", async (world) => {
      const session = await world.create();
      await world.at(1_000);

      const updated = mustBe(
        await world.update(session, { facts: undefined, invalidateCaches: true }),
        "updated",
      );

      expect(updated.record).toMatchObject({ version: 1, updatedAtMs: START_MS });
      expect(updated.revision).toEqual(world.start);
      expect(await world.events()).toEqual([]);
    });

    fact("of a session that is not live is refused with what is left of it", async (world) => {
      const revoked = await world.create();
      const idle = await world.create({ policy: { idleTimeoutMs: 1_000 } });
      await world.revoke(revoked);
      await world.at(1_000);

      expect(await world.update(revoked)).toMatchObject({
        kind: "not-live",
        record: { state: "revoked", end: { reason: "admin" } },
      });
      expect(await world.update(idle)).toMatchObject({
        kind: "not-live",
        record: { state: "expired" },
      });
    });

    fact("of a session under a cutoff is refused", async (world) => {
      const session = await world.create();
      await world.revokeSubject();

      expect(await world.update(session)).toMatchObject({
        kind: "not-live",
        record: { state: "revoked", version: 1 },
      });
    });

    fact("of an unknown session finds nothing", async (world) => {
      expect(await world.update(world.createCommand())).toEqual({ kind: "not-found" });
    });

    fact("repeated is handed its result and changes nothing", async (world) => {
      const session = await world.create();
      const change = { invalidateCaches: true, request: request("update") } as const;
      const first = mustBe(await world.update(session, change), "updated");

      const again = mustBe(await world.update(session, change), "updated");

      expect(again.revision).toEqual(first.revision);
      expect(again.record.version).toBe(2);
      expect(await world.events()).toHaveLength(1);
    });

    fact("repeated with other arguments is refused", async (world) => {
      const session = await world.create();
      await world.update(session, { request: request("update") });

      expect(
        await world.update(session, { request: request("update", "other"), expectedVersion: 2 }),
      ).toEqual({ kind: "request-id-reused" });
    });
  });
}
