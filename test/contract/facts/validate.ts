import { describe, expect } from "vitest";

import type { BindingMode } from "#server/session/policy.js";
import type { ValidateCommand } from "#server/store/session-store.js";
import { StoreBehindError } from "#server/store/store-error.js";

import { type Fact, freshDigest, mustBe, START_MS, TENANT, type World } from "../world.js";

/** Validation: outcomes, their precedence, deadlines, touches, binding, requirements. */
export function describeValidate(fact: Fact): void {
  describe("a validation", () => {
    fact("of a live session answers its record and nothing else", async (world) => {
      const session = await world.create({
        checked: { aal: 2, amr: ["pwd"], authenticatedAtMs: START_MS - 5_000 },
      });

      const reply = await world.validate(session);

      expect(reply).toMatchObject({
        outcome: "valid",
        authenticatedAtMs: START_MS - 5_000,
        graceLeftMs: undefined,
        end: undefined,
        bindingWarnings: [],
      });
      expect(reply.record).toEqual(session.record);
    });

    fact("of an unknown session is not found", async (world) => {
      const session = await world.create();
      const unknown = world.createCommand();

      expect(await world.outcome(unknown)).toBe("not-found");
      expect(await world.validate({ ...session, tokenDigest: freshDigest() })).toMatchObject({
        outcome: "not-found",
        record: undefined,
        authenticatedAtMs: undefined,
        end: undefined,
      });
    });

    fact("for another tenant or audience is not found", async (world) => {
      const session = await world.create({ clientId: "web" });

      expect(await world.outcome(session, { tenantId: "umbrella" })).toBe("not-found");
      expect(await world.outcome(session, { audienceClientIds: ["api", "tv"] })).toBe("not-found");
      expect(await world.outcome(session, { audienceClientIds: ["api", "web"] })).toBe("valid");
    });

    fact("with an unknown secret changes nothing, S-02", async (world) => {
      const session = await world.create();
      await world.at(120_000);

      await world.validate({ ...session, tokenDigest: freshDigest() }, { touch: true });

      expect((await world.store.sessions.read(session.sessionId))?.lastSeenAtMs).toBe(START_MS);
      expect(await world.events()).toEqual([]);
      expect(await world.outcome(session)).toBe("valid");
    });

    fact("says the head it was computed at and the revision of issue", async (world) => {
      const session = await world.create();
      const other = await world.create();
      const revoked = mustBe(await world.revoke(other), "revoked");

      const reply = await world.validate(session);
      const refusal = await world.validate(other);

      expect(reply.asOf).toEqual(revoked.revision);
      expect(reply.record?.issued).toEqual(world.start);
      expect(refusal.asOf).toEqual(revoked.revision);
    });

    fact("at a revision the log has not reached is refused as behind", async (world) => {
      const session = await world.create();
      const head = await world.head();

      const seen = await world.validate(session, { minRevision: head });
      const ahead = world.validate(session, {
        minRevision: { ...head, sequence: head.sequence + 1 },
      });

      expect(seen.outcome).toBe("valid");
      await expect(ahead).rejects.toThrow(StoreBehindError);
      await expect(
        world.validate(session, { minRevision: { ...head, generation: head.generation + 1 } }),
      ).rejects.toThrow(StoreBehindError);
    });

    fact("of many answers each as if it were alone", async (world) => {
      const live = await world.create();
      const dead = await world.create();
      await world.revoke(dead);
      const commands = [
        world.validateCommand(live),
        world.validateCommand(dead),
        world.validateCommand(live, { tenantId: "umbrella" }),
        world.validateCommand({ ...live, tokenDigest: freshDigest() }),
        world.validateCommand(live, {
          requirements: { minAal: 3, maxAuthAgeMs: undefined, requiredAmr: [] },
        }),
        world.validateCommand(live),
      ];

      const batch = await world.store.sessions.validateBatch(live.revision.partition, commands);
      const singles = await Promise.all(
        commands.map((command) => world.store.sessions.validate(command)),
      );

      expect(batch).toEqual(singles);
      expect(batch.map(({ outcome }) => outcome)).toEqual([
        "valid",
        "revoked",
        "not-found",
        "not-found",
        "insufficient-aal",
        "valid",
      ]);
    });

    fact("of none answers none", async (world) => {
      const { partition } = world.start;

      expect(await world.store.sessions.validateBatch(partition, [])).toEqual([]);
    });
  });
  describePrecedence(fact);
  describeDeadlines(fact);
  describeTouching(fact);
  describeBinding(fact);
  describeRequirements(fact);
}

function describePrecedence(fact: Fact): void {
  describe("where several refusals apply", () => {
    const everything: Partial<ValidateCommand> = {
      binding: { ipAddress: "", userAgent: "", deviceId: "" },
      requirements: { minAal: 3, maxAuthAgeMs: 0, requiredAmr: [] },
    };

    /** A session that is retired-token, idle- and absolute-expired, bound and weak. */
    async function createWeak(world: World): Promise<Parameters<World["outcome"]>[0]> {
      const session = await world.create({
        policy: {
          idleTimeoutMs: 10_000,
          absoluteTimeoutMs: 20_000,
          binding: { ipAddress: "enforce", userAgent: "enforce", deviceId: "enforce" },
        },
      });
      await world.rotate(session, "login");
      return session;
    }

    fact("another tenant hides that the session has ended", async (world) => {
      const session = await world.create();
      await world.revoke(session);

      expect(await world.validate(session, { tenantId: "umbrella" })).toMatchObject({
        outcome: "not-found",
        end: undefined,
      });
    });

    fact(
      "an unknown secret and a wrong audience hide that the session has ended",
      async (world) => {
        const session = await world.create();
        await world.revoke(session);

        expect(await world.outcome({ ...session, tokenDigest: freshDigest() })).toBe("not-found");
        expect(await world.validate(session, { audienceClientIds: ["tv"] })).toMatchObject({
          outcome: "not-found",
          end: undefined,
        });
      },
    );

    fact("revoked comes before expired", async (world) => {
      const session = await createWeak(world);
      await world.revoke(session);
      await world.at(20_000);

      expect(await world.outcome(session, everything)).toBe("revoked");
    });

    fact("a cutoff comes before expired", async (world) => {
      const session = await createWeak(world);
      await world.revokeSubject();
      await world.at(20_000);

      expect(await world.outcome(session, everything)).toBe("revoked");
    });

    fact("the absolute deadline comes before the idle one", async (world) => {
      const session = await createWeak(world);

      await world.at(20_000);

      expect(await world.outcome(session, everything)).toBe("expired-absolute");
    });

    fact("expired comes before a retired token", async (world) => {
      const session = await createWeak(world);

      await world.at(10_000);

      expect(await world.outcome(session, everything)).toBe("expired-idle");
    });

    fact("a retired token comes before binding", async (world) => {
      expect(await world.outcome(await createWeak(world), everything)).toBe("rotated");
    });

    fact("binding comes before requirements, and level before age", async (world) => {
      const session = await world.create({
        policy: { binding: { ipAddress: "off", userAgent: "off", deviceId: "enforce" } },
      });

      expect(await world.outcome(session, everything)).toBe("binding-mismatch");
      expect(await world.outcome(session, { ...everything, binding: undefined })).toBe(
        "insufficient-aal",
      );
    });
  });
}

function describeDeadlines(fact: Fact): void {
  describe("a deadline", () => {
    for (const [offsetMs, outcome] of [
      [-1, "valid"],
      [0, "expired-idle"],
      [1, "expired-idle"],
    ] as const) {
      fact(`of idleness, ${offsetMs} ms from it, answers ${outcome} (S-07)`, async (world) => {
        const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });

        await world.at(60_000 + offsetMs);

        expect(await world.outcome(session)).toBe(outcome);
      });
    }

    for (const [offsetMs, outcome] of [
      [-1, "valid"],
      [0, "expired-absolute"],
      [1, "expired-absolute"],
    ] as const) {
      fact(`that is absolute, ${offsetMs} ms from it, answers ${outcome} (S-07)`, async (world) => {
        const session = await world.create({
          policy: { idleTimeoutMs: 0, absoluteTimeoutMs: 60_000 },
        });

        await world.at(60_000 + offsetMs);

        expect(await world.outcome(session)).toBe(outcome);
      });
    }

    fact("that has passed says when, and gives no reason", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(90_000);

      const reply = await world.validate(session);

      expect(reply.end).toEqual({
        reason: "unspecified",
        atMs: START_MS + 60_000,
        initiatingEntity: "unspecified",
        reasonUser: "",
      });
      expect(await world.store.sessions.read(session.sessionId)).toMatchObject({
        state: "expired",
        end: reply.end,
      });
    });

    fact("moves with a use only where it is the idle one (S-07)", async (world) => {
      const session = await world.create({
        policy: { idleTimeoutMs: 60_000, absoluteTimeoutMs: 100_000 },
      });
      await world.at(59_999);
      await world.use(session);

      await world.at(99_999);
      expect(await world.use(session)).toMatchObject({
        outcome: "valid",
        record: { absoluteDeadlineMs: START_MS + 100_000 },
      });
      await world.at(100_000);
      expect(await world.outcome(session)).toBe("expired-absolute");
    });

    fact("of idleness does not exist where the timeout is zero, FEATURES 3.15", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 0 } });

      await world.at(12 * 3_600_000 - 1);

      expect(await world.outcome(session)).toBe("valid");
    });

    fact("that has passed is not undone by a use", async (world) => {
      const session = await world.create({ policy: { idleTimeoutMs: 60_000 } });
      await world.at(60_000);

      await world.use(session);

      expect(await world.outcome(session)).toBe("expired-idle");
    });
  });
}

function describeTouching(fact: Fact): void {
  describe("a use", () => {
    for (const [name, policy, dueMs] of [
      ["the touch interval", { touchIntervalMs: 10_000, idleTimeoutMs: 60_000 }, 10_000],
      ["a quarter of the idle timeout", { touchIntervalMs: 60_000, idleTimeoutMs: 60_000 }, 15_000],
      [
        "the touch interval without idle timeout",
        { touchIntervalMs: 10_000, idleTimeoutMs: 0 },
        10_000,
      ],
    ] as const) {
      for (const [offsetMs, written] of [
        [-1, false],
        [0, true],
        [1, true],
      ] as const) {
        fact(`is ${written ? "" : "not "}written ${offsetMs} ms from ${name}`, async (world) => {
          const session = await world.create({ policy });
          await world.at(dueMs + offsetMs);

          const { record } = await world.use(session);

          const lastSeenAtMs = START_MS + (written ? dueMs + offsetMs : 0);
          expect(record?.lastSeenAtMs).toBe(lastSeenAtMs);
          expect((await world.store.sessions.read(session.sessionId))?.lastSeenAtMs).toBe(
            lastSeenAtMs,
          );
        });
      }
    }

    fact("is not written by a peek", async (world) => {
      const session = await world.create();
      await world.at(120_000);

      await world.validate(session, { touch: false });

      expect((await world.store.sessions.read(session.sessionId))?.lastSeenAtMs).toBe(START_MS);
    });

    fact("is not written where the outcome is a refusal", async (world) => {
      const session = await world.create();
      await world.at(120_000);

      await world.validate(session, {
        touch: true,
        requirements: { minAal: 2, maxAuthAgeMs: undefined, requiredAmr: [] },
      });
      await world.validate(session, { touch: true, tenantId: "umbrella" });

      expect((await world.store.sessions.read(session.sessionId))?.lastSeenAtMs).toBe(START_MS);
    });

    fact("changes neither version nor log", async (world) => {
      const session = await world.create();
      await world.at(120_000);

      const { record } = await world.use(session);

      expect(record).toMatchObject({ version: 1, updatedAtMs: START_MS });
      expect(await world.events()).toEqual([]);
    });
  });
}

function describeBinding(fact: Fact): void {
  const known = { ipAddress: "192.0.2.7", userAgent: "Firefox", deviceId: "laptop" };
  const fields = [
    ["ipAddress", "ip_address"],
    ["userAgent", "user_agent"],
    ["deviceId", "device_id"],
  ] as const;

  async function createBound(
    world: World,
    field: keyof typeof known,
    mode: BindingMode,
  ): Promise<Parameters<World["validate"]>[0]> {
    const binding = { ipAddress: "off", userAgent: "off", deviceId: "off", [field]: mode } as const;
    return await world.create({ policy: { binding } });
  }

  describe("a binding", () => {
    for (const [field, name] of fields) {
      fact(`of ${name} that is off is not compared`, async (world) => {
        const session = await createBound(world, field, "off");

        expect(
          await world.validate(session, { binding: { ...known, [field]: "elsewhere" } }),
        ).toMatchObject({ outcome: "valid", bindingWarnings: [] });
      });

      fact(`of ${name} that warns lets the session live and names it`, async (world) => {
        const session = await createBound(world, field, "warn");

        expect(
          await world.validate(session, { binding: { ...known, [field]: "elsewhere" } }),
        ).toMatchObject({ outcome: "valid", bindingWarnings: [name] });
        expect(await world.validate(session, { binding: known })).toMatchObject({
          outcome: "valid",
          bindingWarnings: [],
        });
      });

      fact(`of ${name} that is enforced refuses what differs or is missing`, async (world) => {
        const session = await createBound(world, field, "enforce");

        expect(await world.outcome(session, { binding: known })).toBe("valid");
        expect(await world.outcome(session, { binding: { ...known, [field]: "elsewhere" } })).toBe(
          "binding-mismatch",
        );
        expect(await world.outcome(session, { binding: { ...known, [field]: "" } })).toBe(
          "binding-mismatch",
        );
      });
    }

    fact("that is enforced refuses what the session does not know either", async (world) => {
      const session = await world.create({
        device: { id: "", ipAddress: "", userAgent: "" },
        policy: { binding: { ipAddress: "off", userAgent: "off", deviceId: "enforce" } },
      });

      expect(await world.outcome(session, { binding: { ...known, deviceId: "" } })).toBe(
        "binding-mismatch",
      );
      expect(await world.outcome(session, { binding: known })).toBe("binding-mismatch");
    });

    fact("is not compared where the request presents none", async (world) => {
      const session = await createBound(world, "deviceId", "enforce");

      expect(await world.outcome(session, { binding: undefined })).toBe("valid");
    });
  });
}

function describeRequirements(fact: Fact): void {
  describe("requirements", () => {
    fact("know an authentication at the first instant there is", async (world) => {
      const session = await world.create({ checked: { aal: 0, amr: [], authenticatedAtMs: 0 } });

      expect(await world.validate(session)).toMatchObject({ authenticatedAtMs: 0 });
    });

    fact("are a pure AND in which an unknown fact does not hold, S-11", async (world) => {
      const sessions = [];
      for (const aal of [0, 1, 2]) {
        for (const amr of [[], ["pwd"], ["pwd", "otp"]]) {
          for (const authAgeMs of [undefined, 1_000, 9_000]) {
            const authenticatedAtMs = authAgeMs === undefined ? undefined : START_MS - authAgeMs;
            const session = await world.create({
              checked: { aal, amr, authenticatedAtMs },
              policy: { maxSessionsPerSubject: 0 },
            });
            sessions.push({ session, aal, amr, authAgeMs });
          }
        }
      }
      const asked = [0, 1, 2].flatMap((minAal) =>
        [undefined, 999, 1_000, 9_000].flatMap((maxAuthAgeMs) =>
          [[], ["otp"], ["otp", "pwd"]].map((requiredAmr) => ({
            minAal,
            maxAuthAgeMs,
            requiredAmr,
          })),
        ),
      );

      for (const { session, aal, amr, authAgeMs } of sessions) {
        const commands = asked.map((requirements) =>
          world.validateCommand(session, { requirements, tenantId: TENANT }),
        );
        const replies = await world.store.sessions.validateBatch(
          session.revision.partition,
          commands,
        );
        const expected = asked.map(({ minAal, maxAuthAgeMs, requiredAmr }) => {
          if (aal < minAal || requiredAmr.some((method) => !amr.includes(method))) {
            return "insufficient-aal";
          }
          const isTooOld =
            maxAuthAgeMs !== undefined && (authAgeMs === undefined || authAgeMs > maxAuthAgeMs);
          return isTooOld ? "authentication-too-old" : "valid";
        });

        expect(replies.map(({ outcome }) => outcome)).toEqual(expected);
      }
    });

    for (const [offsetMs, outcome] of [
      [-1, "valid"],
      [0, "valid"],
      [1, "authentication-too-old"],
    ] as const) {
      fact(`of age, ${offsetMs} ms from the greatest, answer ${outcome}`, async (world) => {
        const session = await world.create({
          checked: { aal: 0, amr: [], authenticatedAtMs: START_MS },
        });
        await world.at(300_000 + offsetMs);

        expect(
          await world.outcome(session, {
            requirements: { minAal: 0, maxAuthAgeMs: 300_000, requiredAmr: [] },
          }),
        ).toBe(outcome);
      });
    }
  });
}
