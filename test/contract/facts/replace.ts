import { describe, expect } from "vitest";

import type { ReplaceResult } from "#server/store/session-store.js";

import { type Fact, freshDigest, mustBe, START_MS, type Ticket, type World } from "../world.js";

/** Replacing an anonymous session by the one of a login. */
export function describeReplace(fact: Fact): void {
  async function replace(
    world: World,
    ticket: Ticket,
    successorId: string,
  ): Promise<ReplaceResult> {
    return await world.store.sessions.replace({
      sessionId: ticket.sessionId,
      presentedDigest: ticket.tokenDigest,
      successorId,
      eventId: "the replacement",
    });
  }

  describe("a replacement", () => {
    fact("ends the session, whose tokens then answer ROTATED", async (world) => {
      const anonymous = await world.create({ subject: "" });
      const successor = await world.create();
      await world.at(1_000);

      const { revision } = mustBe(await replace(world, anonymous, successor.sessionId), "replaced");

      const end = { reason: "replaced", initiatingEntity: "system", atMs: START_MS + 1_000 };
      expect(await world.validate(anonymous)).toMatchObject({ outcome: "rotated", end });
      expect(await world.store.sessions.read(anonymous.sessionId)).toMatchObject({
        state: "revoked",
        end,
      });
      expect(await world.events()).toMatchObject([
        {
          revision,
          eventId: "the replacement",
          kind: "revoked",
          reason: "replaced",
          target: { kind: "session", sessionId: anonymous.sessionId },
        },
      ]);
      expect(await world.outcome(successor)).toBe("valid");
    });

    fact("by the same successor again has the same result", async (world) => {
      const anonymous = await world.create({ subject: "" });
      const first = await replace(world, anonymous, "successor");

      expect(await replace(world, anonymous, "successor")).toEqual(first);
      expect(await world.events()).toHaveLength(1);
    });

    fact("by another successor is refused, S-06", async (world) => {
      const anonymous = await world.create({ subject: "" });
      await replace(world, anonymous, "successor");

      expect(await replace(world, anonymous, "another")).toMatchObject({
        kind: "refused",
        outcome: "rotated",
        end: { reason: "replaced" },
      });
      expect(await world.events()).toHaveLength(1);
    });

    fact("by 16 successors at once lets one through", async (world) => {
      const anonymous = await world.create({ subject: "" });

      const results = await Promise.all(
        Array.from({ length: 16 }, (_, index) => replace(world, anonymous, `successor-${index}`)),
      );

      expect(results.filter(({ kind }) => kind === "replaced")).toHaveLength(1);
      expect(await world.events()).toHaveLength(1);
    });

    fact("takes a token in grace, but no retired or unknown one", async (world) => {
      const first = await world.create({ subject: "" });
      const second = await world.rotate(first, "periodic");
      const third = await world.rotate(second, "periodic");

      expect(await replace(world, first, "successor")).toMatchObject({ outcome: "rotated" });
      expect(
        await replace(world, { ...third, tokenDigest: freshDigest() }, "successor"),
      ).toMatchObject({ outcome: "not-found" });
      expect(await world.outcome(third)).toBe("valid");
      expect(await replace(world, second, "successor")).toMatchObject({ kind: "replaced" });
    });

    fact("of a dead session is refused with its end", async (world) => {
      const revoked = await world.create({ subject: "" });
      const idle = await world.create({ subject: "", policy: { idleTimeoutMs: 1_000 } });
      await world.revoke(revoked);
      await world.at(1_000);

      expect(await replace(world, revoked, "successor")).toMatchObject({
        kind: "refused",
        outcome: "revoked",
        end: { reason: "admin" },
      });
      expect(await replace(world, idle, "successor")).toMatchObject({ outcome: "expired-idle" });
      expect(await replace(world, world.createCommand(), "successor")).toMatchObject({
        outcome: "not-found",
      });
    });
  });
}
