import { randomUUID } from "node:crypto";

import {
  RevocationReason,
  type RotateSessionRequest,
  RotationTrigger,
  ValidationOutcome,
} from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import type { PolicyOverrides } from "#server/configuration/policies.js";
import { type Authority, type AuthorityOptions, createAuthority } from "#server/server.js";
import { createMemoryStore } from "#server/store/memory/memory-store.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { eventually } from "../support/eventually.js";
import { failure, SessionApi } from "../support/session-api.js";
import { type Intercept, wrappedStore } from "../support/wrapped-store.js";

let authority: Authority;
let api: SessionApi;
let intercept: Intercept;
let token = "";
let anonymousId = "";
let subject = "";
let login: Partial<RotateSessionRequest> = {};

beforeEach(async () => {
  intercept = {};
  subject = randomUUID();
  login = { trigger: RotationTrigger.LOGIN, bindSubject: subject, aal: 2, requestId: "login-1" };
  authority = await createAuthority({
    createStore: wrappedStore({
      before: (method) => intercept.before?.(method),
      after: (method) => intercept.after?.(method),
    }),
    policies: { default: { maxSessionsPerSubject: 0 } },
  });
  api = new SessionApi(authority.address);
  const anonymous = await api.create({
    subject: "",
    clientId: "web",
    attributes: new Map([["cart", "7"]]),
  });
  token = anonymous.token;
  anonymousId = anonymous.session?.sessionId ?? "";
});

afterEach(async () => {
  api.close();
  await authority.close();
});

/** The same with other settings; the anonymous session is a new one. */
async function replaceAuthority(
  policy: PolicyOverrides[string],
  options: AuthorityOptions = {},
): Promise<void> {
  api.close();
  await authority.close();
  authority = await createAuthority({
    createStore: wrappedStore({ after: (method) => intercept.after?.(method) }),
    policies: { default: policy },
    ...options,
  });
  api = new SessionApi(authority.address);
  token = (await api.create({ subject: "" })).token;
}

async function subjectSessions(): Promise<string[]> {
  return (await api.list({ subject })).sessions.map(({ sessionId }) => sessionId);
}

describe("binding an anonymous session to a subject", () => {
  it("makes a new session in the subject's partition and ends the old one with REPLACED", async () => {
    const bound = await api.rotate({ ...login, token });

    expect(bound.outcome).toBe(ValidationOutcome.VALID);
    expect(bound.session).toMatchObject({
      subject,
      replacesSessionId: anonymousId,
      clientId: "web",
      aal: 2,
      attributes: new Map([["cart", "7"]]),
      version: 1n,
    });
    expect(bound.session?.sessionId).not.toBe(anonymousId);
    expect(bound.replacedRevision?.partition).toBe(Number.parseInt(anonymousId.slice(0, 2), 16));
    expect(await subjectSessions()).toEqual([bound.session?.sessionId]);
    expect(await api.validate(bound.token)).toMatchObject({ outcome: ValidationOutcome.VALID });
    expect(await api.validate(token)).toMatchObject({
      outcome: ValidationOutcome.ROTATED,
      ended: { reason: RevocationReason.REPLACED },
    });
  });

  it("hands a repeat the same token, long after the anonymous session is gone", async () => {
    const first = await api.rotate({ ...login, token });

    const repeat = await api.rotate({ ...login, token });

    expect(repeat).toMatchObject({
      outcome: ValidationOutcome.VALID,
      token: first.token,
      replacedRevision: first.replacedRevision,
    });
    expect(await subjectSessions()).toHaveLength(1);
  });

  it("does the missing half where the process died between the two", async () => {
    intercept.before = (method) => {
      if (method === "replace") throw new StoreUnavailableError("cut", "no");
    };
    expect(await failure(api.rotate({ ...login, token }))).toMatchObject({
      reason: "STORE_OUTCOME_UNKNOWN",
    });
    expect(await subjectSessions()).toHaveLength(1);
    expect((await api.validate(token)).outcome).toBe(ValidationOutcome.VALID);
    intercept.before = undefined;

    const repeat = await api.rotate({ ...login, token });

    expect(repeat.outcome).toBe(ValidationOutcome.VALID);
    expect(await subjectSessions()).toEqual([repeat.session?.sessionId]);
    expect((await api.validate(repeat.token)).outcome).toBe(ValidationOutcome.VALID);
    expect((await api.validate(token)).outcome).toBe(ValidationOutcome.ROTATED);
  });

  it.each(["create", "replace"] as const)(
    "ends in one session where the answer to %s was lost",
    async (lost) => {
      intercept.after = (method) => {
        if (method === lost) throw new StoreUnavailableError("lost", "unknown");
      };
      expect(await failure(api.rotate({ ...login, token }))).toMatchObject({
        reason: "STORE_OUTCOME_UNKNOWN",
      });
      intercept.after = undefined;

      const repeat = await api.rotate({ ...login, token });

      expect(repeat.outcome).toBe(ValidationOutcome.VALID);
      expect(await subjectSessions()).toEqual([repeat.session?.sessionId]);
    },
  );

  it("ends the new session where the anonymous one was revoked in between", async () => {
    let isRevoked = false;
    intercept.before = async (method) => {
      if (method !== "replace" || isRevoked) return;
      isRevoked = true;
      await api.revoke({
        target: { $case: "sessionId", value: anonymousId },
        reason: RevocationReason.ADMIN,
      });
    };

    const refused = await api.rotate({ ...login, token });

    expect(refused).toMatchObject({
      outcome: ValidationOutcome.REVOKED,
      token: "",
      ended: { reason: RevocationReason.ADMIN },
    });
    expect(await subjectSessions()).toEqual([]);
  });

  it("lets one of two logins win and leaves no session of the other", async () => {
    const logins = await Promise.all([
      api.rotate({ ...login, token, requestId: "a" }),
      api.rotate({ ...login, token, requestId: "b" }),
    ]);

    const winners = logins.filter(({ outcome }) => outcome === ValidationOutcome.VALID);
    expect(winners).toHaveLength(1);
    expect(await subjectSessions()).toEqual([winners[0]?.session?.sessionId]);
  });

  it("evicts once where two logins race for a subject at its limit (S-06)", async () => {
    await replaceAuthority({ maxSessionsPerSubject: 2 });
    const earlier = [await api.create({ subject }), await api.create({ subject })];
    // Both have found their token valid before either creates.
    let asked = 0;
    intercept.after = async (method) => {
      if (method !== "validate" || asked >= 2) return;
      asked += 1;
      await eventually(() => asked === 2);
    };

    const logins = await Promise.all([
      api.rotate({ ...login, token, requestId: "a" }),
      api.rotate({ ...login, token, requestId: "b" }),
    ]);

    const outcomes = logins.map(({ outcome }) => outcome).sort((a, b) => a - b);
    const winner = logins.find(({ outcome }) => outcome === ValidationOutcome.VALID);
    expect(outcomes).toEqual([ValidationOutcome.VALID, ValidationOutcome.ROTATED]);
    expect(await subjectSessions()).toEqual([
      earlier[1]?.session?.sessionId,
      winner?.session?.sessionId,
    ]);
  });

  it("has a second login end the anonymous session for a first one that died halfway", async () => {
    intercept.before = (method) => {
      if (method === "replace") throw new StoreUnavailableError("cut", "no");
    };
    await failure(api.rotate({ ...login, token, requestId: "first" }));
    intercept.before = undefined;

    const second = await api.rotate({ ...login, token, requestId: "second" });
    const first = await api.rotate({ ...login, token, requestId: "first" });

    expect([second.outcome, first.outcome]).toEqual([
      ValidationOutcome.ROTATED,
      ValidationOutcome.VALID,
    ]);
    expect(await subjectSessions()).toEqual([first.session?.sessionId]);
    expect((await api.validate(first.token)).outcome).toBe(ValidationOutcome.VALID);
  });

  it("never says that nothing was applied once the new session is there (R5)", async () => {
    intercept.before = (method) => {
      if (method === "replace") throw new StoreUnavailableError("cut", "no");
    };

    expect(await failure(api.rotate({ ...login, token }))).toMatchObject({
      code: "UNAVAILABLE",
      reason: "STORE_OUTCOME_UNKNOWN",
    });
  });

  it("takes a token that comes back long after its validity for stolen (§4)", async () => {
    let aheadMs = 0;
    const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs };
    await replaceAuthority({ rotationGraceMs: 0 }, { createStore: createMemoryStore, clock });
    const rotated = await api.rotate({ token, trigger: RotationTrigger.PERIODIC });
    aheadMs = 31_000;

    const reused = await api.rotate({ ...login, token });

    expect(reused).toMatchObject({
      outcome: ValidationOutcome.REVOKED,
      ended: { reason: RevocationReason.TOKEN_REUSE },
    });
    expect((await api.validate(rotated.token)).outcome).toBe(ValidationOutcome.REVOKED);
    expect(await subjectSessions()).toEqual([]);
  });

  it("creates nothing for a token that is no longer valid, and is not a repeat", async () => {
    const first = await api.rotate({ ...login, token });

    const stale = await api.rotate({ ...login, token, requestId: "another" });
    const unnamed = await api.rotate({ ...login, token, requestId: "" });

    expect([stale.outcome, unnamed.outcome]).toEqual([
      ValidationOutcome.ROTATED,
      ValidationOutcome.ROTATED,
    ]);
    expect(await subjectSessions()).toEqual([first.session?.sessionId]);
  });

  it("completes a repeat whose new session has moved on: the fixed token dies all the same (S-06)", async () => {
    intercept.before = (method) => {
      if (method === "replace") throw new StoreUnavailableError("cut", "no");
    };
    await failure(api.rotate({ ...login, token }));
    intercept.before = undefined;
    await api.revokeSubject({ subject });

    expect(await failure(api.rotate({ ...login, token }))).toMatchObject({
      reason: "REQUEST_SUPERSEDED",
    });
    expect((await api.validate(token)).outcome).toBe(ValidationOutcome.ROTATED);
  });

  it("is an ordinary rotation where the session is bound to that subject already", async () => {
    const bound = await api.rotate({ ...login, token });

    const again = await api.rotate({ ...login, token: bound.token, requestId: "again" });

    expect(again.outcome).toBe(ValidationOutcome.VALID);
    expect(again.session?.sessionId).toBe(bound.session?.sessionId);
    expect(again.replacedRevision).toBeUndefined();
  });

  it("is refused for another subject, and only a holder of the session is told so", async () => {
    const bound = await api.rotate({ ...login, token });

    const refused = failure(
      api.rotate({ ...login, token: bound.token, bindSubject: "bob", requestId: "again" }),
    );

    expect(await refused).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SUBJECT_ALREADY_BOUND",
    });
    expect((await api.validate(bound.token)).outcome).toBe(ValidationOutcome.VALID);
  });
});
