import { randomBytes, randomUUID } from "node:crypto";

import { RotationTrigger, ValidationOutcome } from "@coatcheck/proto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import { failure, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

let authority: Authority;
let api: SessionApi;
let subject = "";
let retrySecret = Buffer.alloc(0);
const requestId = "r-1";

beforeAll(async () => {
  authority = await createAuthority({
    createStore: storeUnderTest.create,
    policies: { default: { recoveryWindowMs: 600_000 } },
  });
  api = new SessionApi(authority.address);
});

afterAll(async () => {
  api.close();
  await authority.close();
});

beforeEach(({ task }) => {
  subject = `${task.id}-${randomUUID()}`;
  retrySecret = randomBytes(32);
});

/** A tenant of its own for each test: request ids are remembered by tenant. */
function once() {
  return { tenantId: subject, subject, requestId, retrySecret };
}

describe("a repeated CreateSession", () => {
  it("is handed the same session and the same tokens, and evicts nothing", async () => {
    const first = await api.create(once());
    await api.create({ tenantId: subject, subject });
    await api.create({ tenantId: subject, subject });

    const repeat = await api.create(once());

    expect(repeat.token).toBe(first.token);
    expect(repeat.recoveryToken).toBe(first.recoveryToken);
    expect(repeat.session?.sessionId).toBe(first.session?.sessionId);
    expect((await api.list({ tenantId: subject, subject })).sessions).toHaveLength(3);
  });

  it("makes one session of many attempts in any order, the first one arriving last", async () => {
    const attempts = await Promise.all(Array.from({ length: 16 }, () => api.create(once())));

    expect(new Set(attempts.map(({ token }) => token)).size).toBe(1);
    expect((await api.list({ tenantId: subject, subject })).sessions).toHaveLength(1);
  });

  it("finds an anonymous session too", async () => {
    const anonymous = { ...once(), subject: "" };

    const first = await api.create(anonymous);
    const repeat = await api.create(anonymous);

    expect(repeat.token).toBe(first.token);
  });

  it("is refused with another retry secret or none, and told which session it was", async () => {
    const { session } = await api.create(once());

    const refusals = await Promise.all([
      failure(api.create({ ...once(), retrySecret: randomBytes(32) })),
      failure(api.create({ ...once(), retrySecret: Buffer.alloc(0) })),
    ]);

    for (const refusal of refusals) {
      expect(refusal).toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "REQUEST_SUPERSEDED",
        metadata: { session_id: session?.sessionId },
      });
    }
  });

  it("is refused once the session has ended", async () => {
    const { token } = await api.create(once());
    await api.revoke({ target: { $case: "token", value: token } });

    expect(await failure(api.create(once()))).toMatchObject({ reason: "REQUEST_SUPERSEDED" });
  });

  it("is refused with other arguments", async () => {
    await api.create({ ...once(), attributes: new Map([["a", "1"]]) });

    for (const other of [{ aal: 1 }, { clientId: "x" }, { attributes: new Map([["a", "2"]]) }]) {
      expect(await failure(api.create({ ...once(), ...other }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        reason: "REQUEST_ID_REUSED",
      });
    }
  });

  it("takes the order of attributes for no difference, nor a policy's default name", async () => {
    const first = await api.create({
      ...once(),
      attributes: new Map([
        ["a", "1"],
        ["b", "2"],
      ]),
    });

    const repeat = await api.create({
      ...once(),
      policy: "default",
      attributes: new Map([
        ["b", "2"],
        ["a", "1"],
      ]),
    });

    expect(repeat.token).toBe(first.token);
  });

  it("is another call in another tenant", async () => {
    const first = await api.create(once());

    const other = await api.create({ ...once(), tenantId: `${subject}-2` });

    expect(other.session?.sessionId).not.toBe(first.session?.sessionId);
  });

  it("is no repeat without a request id", async () => {
    const first = await api.create({ ...once(), requestId: "" });
    const second = await api.create({ ...once(), requestId: "" });

    expect(second.token).not.toBe(first.token);
  });
});

describe("a repeated RotateSession", () => {
  it("is handed the same successor, though the token it presents is dead", async () => {
    const { token } = await api.create(once());
    const login = { token, trigger: RotationTrigger.LOGIN, requestId };

    const first = await api.rotate(login);
    const repeat = await api.rotate(login);

    expect(repeat).toMatchObject({ outcome: ValidationOutcome.VALID, token: first.token });
    expect(repeat.recoveryToken).toBe(first.recoveryToken);
  });

  it("is another rotation with another trigger or another token", async () => {
    const { token } = await api.create(once());
    const first = await api.rotate({ token, trigger: RotationTrigger.LOGIN, requestId });

    const other = await api.rotate({ token, trigger: RotationTrigger.PERIODIC, requestId });
    const next = await api.rotate({
      token: first.token,
      trigger: RotationTrigger.LOGIN,
      requestId,
    });

    expect(other.outcome).toBe(ValidationOutcome.ROTATED);
    expect(next.outcome).toBe(ValidationOutcome.VALID);
    expect(next.token).not.toBe(first.token);
    const validated = await api.validate(next.token, { tenantId: subject });
    expect(validated.outcome).toBe(ValidationOutcome.VALID);
  });

  it("is refused with other facts to raise", async () => {
    const { token } = await api.create(once());
    const login = { token, trigger: RotationTrigger.LOGIN, requestId };
    await api.rotate({ ...login, aal: 1 });

    expect(await failure(api.rotate({ ...login, aal: 3 }))).toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
  });

  it("is refused once its successor has been retired", async () => {
    const { token } = await api.create(once());
    const login = { token, trigger: RotationTrigger.LOGIN, requestId };
    const first = await api.rotate(login);
    await api.rotate({ token: first.token, trigger: RotationTrigger.LOGIN });

    expect(await failure(api.rotate(login))).toMatchObject({ reason: "REQUEST_SUPERSEDED" });
  });
});

describe("a repeated UpdateSession, RevokeSession and RevokeSubjectSessions", () => {
  it("changes nothing and is told the same", async () => {
    const { session, token } = await api.create(once());
    const sessionId = session?.sessionId ?? "";
    const update = { sessionId, set: new Map([["a", "1"]]), invalidateCaches: true, requestId };
    const revoke = { target: { $case: "token", value: token }, requestId } as const;
    const all = { tenantId: subject, subject, requestId };

    const updates = [await api.update(update), await api.update(update)];
    const revokes = [await api.revoke(revoke), await api.revoke(revoke)];
    const sweeps = [await api.revokeSubject(all), await api.revokeSubject(all)];

    expect(updates[1]).toEqual(updates[0]);
    expect(revokes[1]).toEqual(revokes[0]);
    expect(sweeps[1]).toEqual(sweeps[0]);
  });

  it("spares a login that came after the first", async () => {
    const all = { tenantId: subject, subject, requestId };
    await api.create({ tenantId: subject, subject });
    await api.revokeSubject(all);
    const { token } = await api.create({ tenantId: subject, subject });

    await api.revokeSubject(all);

    expect((await api.validate(token, { tenantId: subject })).outcome).toBe(
      ValidationOutcome.VALID,
    );
  });

  it("is refused with other arguments", async () => {
    const { session } = await api.create(once());
    const sessionId = session?.sessionId ?? "";
    await api.update({ sessionId, set: new Map([["a", "1"]]), requestId });
    await api.revokeSubject({ tenantId: subject, subject, requestId });

    const refusals = await Promise.all([
      failure(api.update({ sessionId, set: new Map([["a", "2"]]), requestId })),
      failure(api.revokeSubject({ tenantId: subject, subject, reasonUser: "x", requestId })),
    ]);

    expect(refusals.map(({ reason }) => reason)).toEqual(refusals.map(() => "REQUEST_ID_REUSED"));
  });
});
