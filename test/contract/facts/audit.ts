import { describe, expect } from "vitest";

import type { AuditEntry, AuditPlace, AuditStream } from "#server/store/audit-trail.js";
import type { Revision } from "#server/session/revision.js";

import {
  cause,
  type Fact,
  freshDigest,
  PARTITION,
  request,
  START_MS,
  SUBJECT,
  TENANT,
  type World,
} from "../world.js";

const AUDIT = { method: "coatcheck.v1.SessionService/Anything", caller: "identity" };
const DAY_MS = 86_400_000;

/** The audit trail: who changed what, in the step that changes it (S-45). */
export function describeAudit(fact: Fact): void {
  describe("the audit trail", () => {
    describeChanges(fact);
    describeSilence(fact);
    describeReading(fact);
    describeBounds(fact);
  });
}

function describeChanges(fact: Fact): void {
  fact("has a creation with its tenant, subject, session and place in the log", async (world) => {
    const { sessionId, revision } = await world.create({ audit: AUDIT, eventId: "e1" });

    expect(await trail(world)).toEqual([
      {
        ...AUDIT,
        place: { atMs: START_MS, order: 0 },
        eventId: "e1",
        tenantId: TENANT,
        subject: SUBJECT,
        sessionId,
        reason: "unspecified",
        initiatingEntity: "unspecified",
        reasonAdmin: "",
        revision,
        statusCode: 0,
      },
    ]);
  });

  fact("has each eviction of a creation beside the creation", async (world) => {
    const oldest = await world.create({ policy: { maxSessionsPerSubject: 1 } });
    const newest = await world.create({ policy: { maxSessionsPerSubject: 1 }, audit: AUDIT });

    expect(await trail(world)).toMatchObject([
      { sessionId: newest.sessionId, reason: "unspecified" },
      {
        sessionId: oldest.sessionId,
        subject: SUBJECT,
        reason: "limit-exceeded",
        initiatingEntity: "policy",
      },
    ]);
  });

  fact("has an anonymous creation without a subject", async (world) => {
    await world.create({ subject: "", audit: AUDIT });

    expect(await trail(world)).toMatchObject([{ tenantId: TENANT, subject: "" }]);
  });

  fact("has a revocation with its reasons and the revision of its event", async (world) => {
    const session = await world.create();
    const result = await world.revoke(session, { cause: cause("account-disabled"), audit: AUDIT });

    expect(await trail(world)).toMatchObject([
      {
        ...AUDIT,
        tenantId: TENANT,
        subject: SUBJECT,
        sessionId: session.sessionId,
        reason: "account-disabled",
        initiatingEntity: "admin",
        reasonAdmin: "ticket 4711",
        revision: revisionOf(result),
      },
    ]);
  });

  fact(
    "has what a caller wrote, byte for byte: CRLF, escapes and other alphabets",
    async (world) => {
      const reasonAdmin = 'line\r\n\u001b[31mred {"a":1} Ünïcödé 🧥';
      const session = await world.create();
      await world.revoke(session, { cause: { ...cause(), reasonAdmin }, audit: AUDIT });

      expect(await trail(world)).toMatchObject([{ reasonAdmin }]);
    },
  );

  fact("has an update, a rotation and a detected reuse", async (world) => {
    const first = await world.create();
    await world.update(first, { audit: AUDIT, eventId: "update" });
    await world.rotate(first, "login", { audit: AUDIT, eventId: "rotate" });
    await world.at(30_000);
    await world.tryRotate(first, "periodic", { audit: AUDIT, eventId: "reuse" });

    expect(await trail(world)).toMatchObject([
      { eventId: "reuse", reason: "token-reuse", initiatingEntity: "system" },
      { eventId: "rotate", sessionId: first.sessionId },
      { eventId: "update", subject: SUBJECT },
    ]);
  });

  fact("has the end of a session that another replaced", async (world) => {
    const anonymous = await world.create({ subject: "" });
    await world.store.sessions.replace({
      sessionId: anonymous.sessionId,
      presentedDigest: anonymous.tokenDigest,
      successorId: "0a0000000000000000000000",
      eventId: "replace",
      audit: AUDIT,
    });

    expect(await trail(world)).toMatchObject([{ eventId: "replace", reason: "replaced" }]);
  });

  fact("has a cutoff once, with whom it is about", async (world) => {
    await world.create();
    await world.create();
    await world.revokeSubject({ audit: AUDIT });
    await world.revokeScope(
      { kind: "tenant", tenantId: TENANT, clientId: "", createdBeforeMs: undefined },
      { audit: AUDIT },
    );
    await world.revokeScope({ kind: "all" }, { audit: AUDIT });

    expect(await trail(world)).toMatchObject([
      { tenantId: "", subject: "", sessionId: "" },
      { tenantId: TENANT, subject: "" },
      { tenantId: TENANT, subject: SUBJECT, reasonAdmin: "ticket 4711" },
    ]);
  });

  fact("has every session that a device revocation ended", async (world) => {
    const here = await world.create();
    await world.create({ device: { id: "phone", ipAddress: "", userAgent: "" } });
    await world.store.sessions.revokeDevice(world.deviceCommand({ audit: AUDIT }));

    expect(await trail(world)).toMatchObject([{ sessionId: here.sessionId, subject: SUBJECT }]);
  });
}

function describeSilence(fact: Fact): void {
  fact("has nothing of a call that changed nothing", async (world) => {
    const session = await world.create();
    await world.revoke(session);
    await world.revoke(session, { audit: AUDIT });
    await world.revoke({ sessionId: session.sessionId.replace(/..$/, "zz") }, { audit: AUDIT });
    await world.update(session, { audit: AUDIT });
    await world.tryRotate({ ...session, tokenDigest: freshDigest() }, "login", { audit: AUDIT });

    expect(await trail(world)).toEqual([]);
  });

  fact("has a repeated call once", async (world) => {
    const command = world.createCommand({ request: request("create"), audit: AUDIT });
    await world.store.sessions.create(command);
    await world.store.sessions.create(command);
    await world.revokeSubject({ request: request("revoke"), audit: AUDIT });
    await world.revokeSubject({ request: request("revoke"), audit: AUDIT });

    expect(await trail(world)).toHaveLength(2);
  });

  fact("has nothing of a change that names no call", async (world) => {
    await world.revoke(await world.create());

    expect(await trail(world)).toEqual([]);
  });
}

function describeReading(fact: Fact): void {
  fact(
    "is read newest first, in pages that leave nothing out and repeat nothing",
    async (world) => {
      await denied(world, ["e1", "e2", "e3"]);
      await world.at(5);
      await denied(world, ["e4", "e5"]);

      const whole = await trail(world, "denied");
      const pages: AuditEntry[] = [];
      let before: AuditPlace | undefined;
      do {
        const page = await world.store.audit.read({
          partition: PARTITION,
          stream: "denied",
          before,
          limit: 2,
        });
        pages.push(...page);
        before = page.at(-1)?.place;
      } while (before !== undefined);

      expect(whole.map(({ eventId }) => eventId)).toEqual(["e5", "e4", "e3", "e2", "e1"]);
      expect(pages).toEqual(whole);
    },
  );

  fact("has nothing before the first place there can be", async (world) => {
    await denied(world, ["e1"]);
    const before = { atMs: 0, order: 0 };
    const query = { partition: PARTITION, stream: "denied", before, limit: 10 } as const;

    expect(await world.store.audit.read(query)).toEqual([]);
  });

  fact("keeps refusals apart, so that they push out no change", async (world) => {
    await world.create({ audit: AUDIT });
    await denied(world, ["d1"]);

    expect(await trail(world, "audit")).toHaveLength(1);
    expect(await trail(world, "denied")).toMatchObject([
      {
        ...AUDIT,
        eventId: "d1",
        tenantId: "globex",
        reasonAdmin: "CALLER_NOT_ALLOWED",
        statusCode: 7,
        revision: undefined,
      },
    ]);
  });

  fact("never goes back in time, even where the partition's clock is set back", async (world) => {
    await world.at(1_000);
    await denied(world, ["late"]);
    await world.at(0);
    await denied(world, ["early"]);

    expect(await trail(world, "denied")).toMatchObject([
      { eventId: "early", place: { atMs: START_MS + 1_000 } },
      { eventId: "late", place: { atMs: START_MS + 1_000 } },
    ]);
  });
}

function describeBounds(fact: Fact): void {
  fact(
    "keeps as many entries as it is told, each stream for itself",
    async (world) => {
      for (const eventId of ["c1", "c2", "c3", "c4"]) await world.create({ audit: AUDIT, eventId });
      await denied(world, ["d1", "d2", "d3", "d4"]);

      expect((await trail(world)).map(({ eventId }) => eventId)).toEqual(["c4", "c4.1", "c3"]);
      expect((await trail(world, "denied")).map(({ eventId }) => eventId)).toEqual([
        "d4",
        "d3",
        "d2",
      ]);
    },
    { auditLength: 3 },
  );

  fact(
    "drops what is older than its retention when it reaps, to the millisecond",
    async (world) => {
      await denied(world, ["old"]);
      await world.at(1);
      await denied(world, ["young"]);

      await world.at(DAY_MS);
      await world.store.sessions.reap(PARTITION, 10);
      expect(await trail(world, "denied")).toHaveLength(2);

      await world.at(DAY_MS + 1);
      await world.store.sessions.reap(PARTITION, 10);
      expect(await trail(world, "denied")).toMatchObject([{ eventId: "young" }]);
    },
    { auditRetentionMs: DAY_MS },
  );

  fact("takes at most a batch of refusals at a time", async (world) => {
    await denied(
      world,
      Array.from({ length: 100 }, (_, index) => `d${index}`),
    );

    expect(await trail(world, "denied")).toHaveLength(64);
  });
}

async function trail(world: World, stream: AuditStream = "audit"): Promise<readonly AuditEntry[]> {
  return await world.store.audit.read({
    partition: PARTITION,
    stream,
    before: undefined,
    limit: 1_000,
  });
}

async function denied(world: World, eventIds: readonly string[]): Promise<void> {
  await world.store.audit.appendDenied(
    PARTITION,
    eventIds.map((eventId) => ({
      ...AUDIT,
      eventId,
      tenantId: "globex",
      sessionId: "",
      reasonAdmin: "CALLER_NOT_ALLOWED",
      statusCode: 7,
    })),
  );
}

function revisionOf(result: object): Revision | undefined {
  return "revision" in result ? (result.revision as Revision) : undefined;
}
