import { createHash, randomUUID } from "node:crypto";

import {
  BindingMode,
  Propagation,
  RevocationReason,
  RotationTrigger,
  SessionState,
  TouchMode,
  ValidationOutcome,
} from "@coatcheck/proto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import { failure, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

let authority: Authority;
let api: SessionApi;
let subject = "";

beforeAll(async () => {
  authority = await createAuthority({
    createStore: storeUnderTest.create,
    policies: {
      strict: { maxSessionsPerSubject: 1, limitAction: "deny" },
      recoverable: { recoveryWindowMs: 600_000 },
      endless: { idleTimeoutMs: 0, maxSessionsPerSubject: 0 },
      bound: { binding: { ipAddress: "enforce", userAgent: "warn", deviceId: "off" } },
    },
  });
  api = new SessionApi(authority.address);
});

afterAll(async () => {
  api.close();
  await authority.close();
});

beforeEach(({ task }) => {
  subject = `${task.id}-${randomUUID()}`;
});

describe("CreateSession", () => {
  it("returns a session with everything it was told and a token that validates", async () => {
    const created = await api.create({
      subject,
      clientId: "web",
      device: { id: "d1", name: "Phone", ipAddress: "192.0.2.1", userAgent: "UA" },
      origin: "login/pod-1",
      aal: 2,
      amr: ["pwd", "otp"],
      authenticatedAt: { seconds: 1_700_000_000n, nanos: 5_000_000 },
      attributes: new Map([
        ["b", "2"],
        ["a", "1"],
      ]),
      actor: "support",
    });

    expect(created.session).toMatchObject({
      tenantId: "acme",
      subject,
      state: SessionState.ACTIVE,
      version: 1n,
      policy: "default",
      clientId: "web",
      origin: "login/pod-1",
      device: { id: "d1", name: "Phone", ipAddress: "192.0.2.1", userAgent: "UA" },
      aal: 2,
      amr: ["pwd", "otp"],
      authenticatedAt: { seconds: 1_700_000_000n, nanos: 5_000_000 },
      actor: "support",
      replacesSessionId: "",
      ended: undefined,
    });
    expect(created.session?.attributes).toEqual(
      new Map([
        ["a", "1"],
        ["b", "2"],
      ]),
    );
    expect(created.token).toMatch(/^cc1_[0-9a-f]{2}[0-9A-Za-z]{71}$/);
    expect(created.token).toContain(created.session?.sessionId);
    expect(created.recoveryToken).toBe("");
    expect((await api.validate(created.token)).outcome).toBe(ValidationOutcome.VALID);
  });

  it("hands out a recovery token only where the policy allows recovery", async () => {
    const created = await api.create({ subject, policy: "recoverable" });

    expect(created.recoveryToken).toMatch(/^ccr1_[0-9a-f]{2}[0-9A-Za-z]{71}$/);
    expect((await api.validate(created.recoveryToken)).outcome).toBe(ValidationOutcome.MALFORMED);
  });

  it("refuses a policy that is not configured", async () => {
    expect(await failure(api.create({ subject, policy: "nosuch" }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "UNKNOWN_POLICY",
    });
  });

  it("refuses a session beyond the limit where the policy says deny (S-10)", async () => {
    await api.create({ subject, policy: "strict" });

    expect(await failure(api.create({ subject, policy: "strict" }))).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SESSION_LIMIT_REACHED",
    });
  });

  it("names the sessions that had to go (S-10)", async () => {
    const first = await api.create({ subject });
    await api.create({ subject });
    await api.create({ subject });
    const fourth = await api.create({ subject });

    expect(fourth.evicted).toEqual([first.session?.sessionId]);
    const answer = await api.validate(first.token);
    expect(answer.outcome).toBe(ValidationOutcome.REVOKED);
    expect(answer.ended?.reason).toBe(RevocationReason.LIMIT_EXCEEDED);
  });

  it("keeps an anonymous session out of every index", async () => {
    const created = await api.create({ subject: "" });

    expect((await api.validate(created.token)).session?.subject).toBe("");
    expect((await failure(api.list({ subject: "" }))).metadata).toMatchObject({ field: "subject" });
  });
});

describe("ValidateSession", () => {
  it("answers with the same session that GetSession reads (splicing loses nothing)", async () => {
    const created = await api.create({
      subject,
      device: { id: "d1", name: "n".repeat(200), ipAddress: "192.0.2.1", userAgent: "UA" },
      attributes: new Map([["k", "v".repeat(4000)]]),
    });

    const answer = await api.validate(created.token, { touch: TouchMode.PEEK });
    const read = await api.get(created.session?.sessionId ?? "");

    expect(answer.session).toEqual(read.session);
    expect(answer.session).toEqual(created.session);
  });

  it("says how long the answer holds and that it may be kept", async () => {
    const { token, revision } = await api.create({ subject });

    const answer = await api.validate(token);

    expect(answer).toMatchObject({
      superseded: false,
      cacheable: true,
      maxStaleness: { seconds: 3n, nanos: 0 },
      issued: revision,
      asOf: revision,
      authenticationAge: undefined,
      ended: undefined,
      bindingWarnings: [],
    });
    const validForMs = Number(answer.validFor?.seconds) * 1000;
    expect(validForMs).toBeGreaterThan(29 * 60_000);
    expect(validForMs).toBeLessThanOrEqual(30 * 60_000);
  });

  it("tells the age of the authentication where the issuer said when it was", async () => {
    const seconds = BigInt(Math.floor(Date.now() / 1000) - 100);
    const { token } = await api.create({ subject, authenticatedAt: { seconds, nanos: 0 } });

    const answer = await api.validate(token);

    expect(Number(answer.authenticationAge?.seconds)).toBeGreaterThanOrEqual(99);
    expect(Number(answer.authenticationAge?.seconds)).toBeLessThan(130);
  });

  it("leaves idle_expires_at out where there is no idle timeout", async () => {
    const { token } = await api.create({ subject, policy: "endless" });

    expect((await api.validate(token)).session?.idleExpiresAt).toBeUndefined();
  });

  it("does not know a token in another tenant (S-28)", async () => {
    const { token } = await api.create({ subject });

    const answer = await api.validate(token, { tenantId: "evil" });

    expect(answer.outcome).toBe(ValidationOutcome.NOT_FOUND);
    expect(answer.session).toBeUndefined();
  });

  it("does not let an answer to an audience, binding or requirement be kept (S-18)", async () => {
    const { token } = await api.create({ subject, clientId: "web", aal: 2 });
    const binding = { ipAddress: "", userAgent: "", deviceId: "" };
    const requirements = { minAal: 2, maxAuthAge: undefined, requiredAmr: [] };

    const answers = await Promise.all([
      api.validate(token, { audienceClientIds: ["web"] }),
      api.validate(token, { binding }),
      api.validate(token, { requirements }),
    ]);

    expect(answers.map(({ outcome, cacheable }) => [outcome, cacheable])).toEqual(
      answers.map(() => [ValidationOutcome.VALID, false]),
    );
  });

  it("compares audience, binding and requirements with the session (S-11)", async () => {
    const { token } = await api.create({
      subject,
      policy: "bound",
      clientId: "web",
      aal: 1,
      device: { id: "", name: "", ipAddress: "192.0.2.1", userAgent: "old" },
    });
    const here = { ipAddress: "192.0.2.1", userAgent: "old", deviceId: "" };

    const outcomes = await Promise.all([
      api.validate(token, { binding: here, audienceClientIds: ["other"] }),
      api.validate(token, { binding: { ...here, ipAddress: "192.0.2.9" } }),
      api.validate(token, {
        binding: here,
        requirements: { minAal: 2, maxAuthAge: undefined, requiredAmr: [] },
      }),
      api.validate(token, {
        binding: here,
        requirements: { minAal: 0, maxAuthAge: { seconds: 60n, nanos: 0 }, requiredAmr: [] },
      }),
      api.validate(token, { binding: { ...here, userAgent: "new" } }),
    ]);

    expect(outcomes.map(({ outcome }) => outcome)).toEqual([
      ValidationOutcome.NOT_FOUND,
      ValidationOutcome.BINDING_MISMATCH,
      ValidationOutcome.INSUFFICIENT_AAL,
      ValidationOutcome.AUTHENTICATION_TOO_OLD,
      ValidationOutcome.VALID,
    ]);
    expect(outcomes.at(-1)?.bindingWarnings).toEqual(["user_agent"]);
    expect(outcomes.at(-1)?.session?.bindingPolicy?.ipAddress).toBe(BindingMode.ENFORCE);
  });

  it("fails BEHIND for a revision that this replica has not seen", async () => {
    const { token, revision } = await api.create({ subject });
    if (revision === undefined) throw new Error("no revision");

    const ahead = { ...revision, sequence: revision.sequence + 1n };

    expect(await failure(api.validate(token, { minRevision: ahead }))).toMatchObject({
      code: "UNAVAILABLE",
      reason: "BEHIND",
    });
    expect((await api.validate(token, { minRevision: revision })).outcome).toBe(
      ValidationOutcome.VALID,
    );
  });

  it("refuses a revision of another partition, which would promise nothing", async () => {
    const { token, revision } = await api.create({ subject });
    if (revision === undefined) throw new Error("no revision");

    const foreign = { ...revision, partition: (revision.partition + 1) % 16 };

    expect((await failure(api.validate(token, { minRevision: foreign }))).metadata).toMatchObject({
      field: "min_revision.partition",
    });
  });
});

describe("BatchValidateSessions", () => {
  it("answers every item as if it were alone, in order", async () => {
    const one = await api.create({ subject });
    const two = await api.create({ subject: `${subject}-2` });

    const { items } = await api.batch([
      { token: one.token },
      { token: "nonsense" },
      { token: two.token, touch: 99 as TouchMode },
      { token: two.token },
    ]);

    const single = await api.validate(one.token, { touch: TouchMode.PEEK });
    expect(items.map(({ result }) => result?.$case)).toEqual([
      "response",
      "response",
      "status",
      "response",
    ]);
    const [first, second, third] = items.map(({ result }) => result);
    expect(first?.$case === "response" && first.value.session).toEqual(single.session);
    expect(second?.$case === "response" && second.value.outcome).toBe(ValidationOutcome.MALFORMED);
    expect(third?.$case === "status" && third.value.code).toBe(3);
  });

  it("fails only the item that asks for a revision this replica has not seen", async () => {
    const { token, revision } = await api.create({ subject });
    if (revision === undefined) throw new Error("no revision");
    const ahead = { ...revision, sequence: revision.sequence + 9n };

    const { items } = await api.batch([{ token }, { token, minRevision: ahead }, { token }]);

    expect(items.map(({ result }) => result?.$case)).toEqual(["response", "status", "response"]);
  });

  it("takes 256 items and refuses 257 (S-42)", async () => {
    const { token } = await api.create({ subject });
    const items = Array.from({ length: 257 }, () => ({ token }));

    expect((await api.batch(items.slice(1))).items).toHaveLength(256);
    expect((await failure(api.batch(items))).metadata).toMatchObject({ field: "items" });
  });
});

describe("TouchSessions", () => {
  it("records uses by token digest and tells each item's outcome", async () => {
    const { token, session } = await api.create({ subject });
    const tokenSha256 = createHash("sha256").update(token).digest();
    const sessionId = session?.sessionId ?? "";

    const { outcomes } = await api.touch([
      { sessionId, tokenSha256, idleFor: { seconds: 0n, nanos: 0 } },
      { sessionId, tokenSha256: Buffer.alloc(32), idleFor: undefined },
    ]);

    expect(outcomes).toEqual([ValidationOutcome.VALID, ValidationOutcome.NOT_FOUND]);
  });

  it("refuses a digest of 31 bytes and a negative duration", async () => {
    const { session } = await api.create({ subject });
    const item = { sessionId: session?.sessionId ?? "", tokenSha256: Buffer.alloc(32) };

    const short = failure(
      api.touch([{ ...item, tokenSha256: Buffer.alloc(31), idleFor: undefined }]),
    );
    const negative = failure(api.touch([{ ...item, idleFor: { seconds: -1n, nanos: 0 } }]));

    expect((await short).metadata).toMatchObject({ field: "items.token_sha256" });
    expect((await negative).metadata).toMatchObject({ field: "items.idle_for" });
  });
});

describe("GetSession and ListSessions", () => {
  it("explain a session that has ended", async () => {
    const { session } = await api.create({ subject });
    const sessionId = session?.sessionId ?? "";
    await api.revoke({
      target: { $case: "sessionId", value: sessionId },
      reason: RevocationReason.ADMIN,
      reasonUser: "You were signed out",
      reasonAdmin: "ticket 42",
    });

    const read = await api.get(sessionId);

    expect(read.session).toMatchObject({
      state: SessionState.REVOKED,
      ended: { reason: RevocationReason.ADMIN, reasonUser: "You were signed out" },
    });
    expect((await api.list({ subject })).sessions).toEqual([]);
  });

  it("do not know a session id that names nothing, and refuse what is none", async () => {
    expect(await failure(api.get("00" + "a".repeat(22)))).toMatchObject({
      code: "NOT_FOUND",
      reason: "SESSION_NOT_FOUND",
    });
    expect(await failure(api.get("10" + "a".repeat(22)))).toMatchObject({
      code: "INVALID_ARGUMENT",
      metadata: { field: "session_id" },
    });
  });

  it("list a subject's sessions oldest first, page by page", async () => {
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      ids.push((await api.create({ subject, policy: "endless" })).session?.sessionId ?? "");
    }

    const listed: string[] = [];
    let pageToken = "";
    do {
      const page = await api.list({ subject, pageSize: 2, pageToken });
      expect(page.sessions.length).toBeLessThanOrEqual(2);
      listed.push(...page.sessions.map(({ sessionId }) => sessionId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    expect([...listed].sort()).toEqual([...ids].sort());
  });

  it("list no more on a page than a client takes by default, which is 4 MB", async () => {
    const attributes = new Map([["a", "x".repeat(8_000)]]);
    const ids = await Promise.all(
      Array.from({ length: 500 }, async () => {
        const { session } = await api.create({ subject, policy: "endless", attributes });
        return session?.sessionId ?? "";
      }),
    );

    const first = await api.list({ subject, pageSize: 500 });
    const rest = await api.list({ subject, pageSize: 500, pageToken: first.nextPageToken });

    const listed = [...first.sessions, ...rest.sessions].map(({ sessionId }) => sessionId);
    expect(listed.toSorted()).toEqual(ids.toSorted());
    expect(rest.nextPageToken).toBe("");
  });

  it.each(["x", "AAAA", Buffer.from("1.../..").toString("base64url"), "a".repeat(10_000)])(
    "refuse the page token %#",
    async (pageToken) => {
      expect((await failure(api.list({ subject, pageToken }))).metadata).toMatchObject({
        field: "page_token",
      });
    },
  );
});

describe("UpdateSession", () => {
  it("takes a request id for another call where the same texts are set, not removed", async () => {
    const { session } = await api.create({ subject });
    const sessionId = session?.sessionId ?? "";
    await api.update({ sessionId, set: new Map([["remove", "a"]]), requestId: "r" });

    expect(
      await failure(api.update({ sessionId, remove: ["a", "remove"], requestId: "r" })),
    ).toMatchObject({ reason: "REQUEST_ID_REUSED" });
  });

  it("sets and removes attributes and counts the version", async () => {
    const { session, revision } = await api.create({
      subject,
      attributes: new Map([
        ["a", "1"],
        ["b", "2"],
      ]),
    });

    const updated = await api.update({
      sessionId: session?.sessionId ?? "",
      set: new Map([
        ["c", "3"],
        ["__proto__", "x"],
      ]),
      remove: ["a"],
      invalidateCaches: true,
    });

    expect(updated.session?.version).toBe(2n);
    expect(updated.session?.attributes).toEqual(
      new Map([
        ["__proto__", "x"],
        ["b", "2"],
        ["c", "3"],
      ]),
    );
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
    // Other tests of this file may have used the partition.
    expect(updated.revision?.sequence).toBe((revision?.sequence ?? 0n) + 1n);
  });

  it("writes nothing where nothing changes", async () => {
    const { session, revision } = await api.create({ subject, attributes: new Map([["a", "1"]]) });

    const updated = await api.update({
      sessionId: session?.sessionId ?? "",
      set: new Map([["a", "1"]]),
      invalidateCaches: true,
    });

    expect(updated.session).toEqual(session);
    expect(updated.revision).toEqual(revision);
  });

  it("is refused at another version than expected", async () => {
    const { session } = await api.create({ subject });
    const sessionId = session?.sessionId ?? "";

    const refused = await failure(
      api.update({ sessionId, set: new Map([["a", "1"]]), expectedVersion: 7n }),
    );

    expect(refused).toMatchObject({
      code: "ABORTED",
      reason: "VERSION_CONFLICT",
      metadata: { version: "1" },
    });
  });

  it("makes every one of 64 concurrent changes", async () => {
    const { session } = await api.create({ subject });
    const sessionId = session?.sessionId ?? "";
    const keys = Array.from({ length: 64 }, (_, index) => `k${index}`);

    await Promise.all(keys.map((key) => api.update({ sessionId, set: new Map([[key, "1"]]) })));

    const after = await api.get(sessionId);
    expect([...(after.session?.attributes.keys() ?? [])].sort()).toEqual([...keys].sort());
    expect(after.session?.version).toBe(65n);
  });

  it("is refused where the attributes would exceed 8 KiB together (S-13)", async () => {
    const { session } = await api.create({
      subject,
      attributes: new Map([["a", "x".repeat(8000)]]),
    });
    const sessionId = session?.sessionId ?? "";

    const fits = await api.update({ sessionId, set: new Map([["b", "y".repeat(190)]]) });
    const refused = await failure(api.update({ sessionId, set: new Map([["c", ""]]) }));

    expect(fits.session?.version).toBe(2n);
    expect(refused).toMatchObject({ code: "INVALID_ARGUMENT", metadata: { field: "set" } });
  });

  it("is refused for a session that has ended", async () => {
    const { session, token } = await api.create({ subject });
    await api.revoke({ target: { $case: "token", value: token } });

    const refused = failure(
      api.update({ sessionId: session?.sessionId ?? "", set: new Map([["a", "1"]]) }),
    );

    expect(await refused).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SESSION_NOT_LIVE",
    });
  });
});

describe("RotateSession", () => {
  it("replaces the token and leaves the previous one its grace", async () => {
    const { token } = await api.create({ subject });

    const rotated = await api.rotate({ token, trigger: RotationTrigger.PERIODIC });

    expect(rotated.outcome).toBe(ValidationOutcome.VALID);
    expect(rotated.previousValidFor).toEqual({ seconds: 30n, nanos: 0 });
    const previous = await api.validate(token);
    expect(previous).toMatchObject({ outcome: ValidationOutcome.VALID, superseded: true });
    expect(Number(previous.validFor?.seconds)).toBeLessThanOrEqual(30);
    expect(await api.validate(rotated.token)).toMatchObject({ superseded: false });
  });

  it("hands concurrent tabs the same successor", async () => {
    const { token } = await api.create({ subject });

    const tabs = await Promise.all(
      Array.from({ length: 8 }, () => api.rotate({ token, trigger: RotationTrigger.PERIODIC })),
    );

    expect(new Set(tabs.map((tab) => tab.token)).size).toBe(1);
  });

  it("kills the old token at login and raises the facts (S-06)", async () => {
    const { token, session } = await api.create({ subject, aal: 1, amr: ["pwd"] });
    const seconds = BigInt(Math.floor(Date.now() / 1000));

    const rotated = await api.rotate({
      token,
      trigger: RotationTrigger.REAUTHENTICATION,
      aal: 2,
      amr: ["pwd", "otp"],
      authenticatedAt: { seconds, nanos: 0 },
    });

    expect(rotated.session).toMatchObject({
      sessionId: session?.sessionId,
      absoluteExpiresAt: session?.absoluteExpiresAt,
      aal: 2,
      amr: ["pwd", "otp"],
      version: 2n,
    });
    expect((await api.validate(token)).outcome).toBe(ValidationOutcome.ROTATED);
    const stepUp = { minAal: 2, maxAuthAge: { seconds: 60n, nanos: 0 }, requiredAmr: ["otp"] };
    expect((await api.validate(rotated.token, { requirements: stepUp })).outcome).toBe(
      ValidationOutcome.VALID,
    );
  });

  it("replaces the recovery token where the policy allows recovery", async () => {
    const { token, recoveryToken } = await api.create({ subject, policy: "recoverable" });

    const rotated = await api.rotate({ token, trigger: RotationTrigger.LOGIN });

    expect(rotated.recoveryToken).toMatch(/^ccr1_/);
    expect(rotated.recoveryToken).not.toBe(recoveryToken);
  });

  it("needs a trigger, and raises nothing with PERIODIC", async () => {
    const { token } = await api.create({ subject });
    const periodic = { token, trigger: RotationTrigger.PERIODIC };

    const refusals = await Promise.all([
      failure(api.rotate({ token })),
      failure(api.rotate({ token, trigger: 99 as RotationTrigger })),
      failure(api.rotate({ ...periodic, aal: 1 })),
      failure(api.rotate({ ...periodic, amr: ["pwd"] })),
      failure(api.rotate({ ...periodic, authenticatedAt: { seconds: 1n, nanos: 0 } })),
      failure(api.rotate({ ...periodic, bindSubject: "bob" })),
    ]);

    expect(refusals.map(({ metadata }) => metadata["field"])).toEqual([
      "trigger",
      "trigger",
      "aal",
      "amr",
      "authenticated_at",
      "bind_subject",
    ]);
    expect(await api.validate(token)).toMatchObject({ superseded: false });
  });

  it("answers MALFORMED and NOT_FOUND in band", async () => {
    const { token } = await api.create({ subject });
    const stranger = await api.create({ subject: `${subject}-2` });
    await api.revoke({ target: { $case: "token", value: stranger.token } });

    const malformed = await api.rotate({ token: `${token}x`, trigger: RotationTrigger.LOGIN });
    const revoked = await api.rotate({ token: stranger.token, trigger: RotationTrigger.LOGIN });

    expect(malformed).toMatchObject({ outcome: ValidationOutcome.MALFORMED, token: "" });
    expect(revoked).toMatchObject({ outcome: ValidationOutcome.REVOKED, token: "" });
    expect(revoked.session).toBeUndefined();
  });
});

describe("RevokeSession", () => {
  it("ends a session by its token, and says how far that has reached", async () => {
    const { token } = await api.create({ subject });

    const revoked = await api.revoke({
      target: { $case: "token", value: token },
      reason: RevocationReason.USER_LOGOUT,
      propagation: Propagation.EVERYWHERE,
    });

    expect(revoked).toMatchObject({
      found: true,
      alreadyRevoked: false,
      achieved: Propagation.COMMITTED,
      effectiveWithin: { seconds: 3n, nanos: 3_000_000 },
    });
    expect(await api.validate(token)).toMatchObject({
      outcome: ValidationOutcome.REVOKED,
      ended: { reason: RevocationReason.USER_LOGOUT },
    });
  });

  it("says so where the session was revoked before", async () => {
    const { token } = await api.create({ subject });
    const target = { $case: "token", value: token } as const;
    const first = await api.revoke({ target });

    const second = await api.revoke({ target });

    expect(second).toMatchObject({ found: true, alreadyRevoked: true, revision: first.revision });
  });

  it("finds nothing for a token that is none, or whose secret is unknown", async () => {
    const { token, session } = await api.create({ subject });

    const malformed = await api.revoke({ target: { $case: "token", value: "nonsense" } });
    const unknown = await api.revoke({
      target: { $case: "sessionId", value: "00" + "a".repeat(22) },
    });

    expect([malformed.found, unknown.found]).toEqual([false, false]);
    expect((await api.validate(token)).session?.sessionId).toBe(session?.sessionId);
  });

  it("refuses a malformed session id, an empty target and an unknown reason", async () => {
    const { session } = await api.create({ subject });
    const target = { $case: "sessionId", value: session?.sessionId ?? "" } as const;

    const refusals = await Promise.all([
      failure(api.revoke({ target: { $case: "sessionId", value: "nonsense" } })),
      failure(api.revoke({})),
      failure(api.revoke({ target, reason: 77 as RevocationReason })),
    ]);

    expect(refusals.map(({ metadata }) => metadata["field"])).toEqual([
      "session_id",
      "target",
      "reason",
    ]);
  });
});

describe("RevokeSubjectSessions", () => {
  it("logs out everywhere but here", async () => {
    const here = await api.create({ subject });
    const there = await api.create({ subject });

    const revoked = await api.revokeSubject({
      subject,
      scope: { $case: "exceptSessionId", value: here.session?.sessionId ?? "" },
    });

    expect(revoked.achieved).toBe(Propagation.COMMITTED);
    expect((await api.validate(here.token)).outcome).toBe(ValidationOutcome.VALID);
    expect((await api.validate(there.token)).outcome).toBe(ValidationOutcome.REVOKED);
  });

  it("ends the sessions of one device, over several batches", async () => {
    const device = { id: "lost", name: "", ipAddress: "", userAgent: "" };
    const lost: string[] = [];
    for (let count = 0; count < 130; count += 1) {
      lost.push((await api.create({ subject, policy: "endless", device })).token);
    }
    const kept = await api.create({ subject, policy: "endless" });

    const revoked = await api.revokeSubject({
      subject,
      scope: { $case: "deviceId", value: "lost" },
    });

    expect(revoked.revokedCountEstimate).toBe(130n);
    const { items } = await api.batch(lost.map((token) => ({ token })));
    expect(
      items.every(
        ({ result }) =>
          result?.$case === "response" && result.value.outcome === ValidationOutcome.REVOKED,
      ),
    ).toBe(true);
    expect((await api.validate(kept.token)).outcome).toBe(ValidationOutcome.VALID);
  });

  it("refuses an empty device id, which would mean every session without a device", async () => {
    const refused = failure(
      api.revokeSubject({ subject, scope: { $case: "deviceId", value: "" } }),
    );

    expect((await refused).metadata).toMatchObject({ field: "device_id" });
  });

  it("refuses to spare a session of somebody else", async () => {
    const mallory = await api.create({ subject: `${subject}-2` });
    await api.create({ subject });

    const refused = failure(
      api.revokeSubject({
        subject,
        scope: { $case: "exceptSessionId", value: mallory.session?.sessionId ?? "" },
      }),
    );

    expect(await refused).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "EXCEPT_SESSION_NOT_LIVE",
    });
  });
});

describe("GetStats", () => {
  it("counts every answer, each item of a batch included", async () => {
    const before = await api.stats();
    const { token } = await api.create({ subject });
    await api.validate(token);
    await api.batch([{ token }, { token: "nonsense" }]);

    const after = await api.stats();

    function count(stats: typeof after, outcome: ValidationOutcome) {
      return stats.outcomes.find((entry) => entry.outcome === outcome)?.count ?? 0n;
    }
    expect(count(after, ValidationOutcome.VALID) - count(before, ValidationOutcome.VALID)).toBe(2n);
    expect(
      count(after, ValidationOutcome.MALFORMED) - count(before, ValidationOutcome.MALFORMED),
    ).toBe(1n);
    expect(after.sessionsCreated - before.sessionsCreated).toBe(1n);
    expect(after).toMatchObject({ maxStaleness: { seconds: 3n } });
    expect(after.heads).toHaveLength(16);
  });
});
