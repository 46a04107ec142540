import { randomUUID } from "node:crypto";

import {
  type AuditEvent,
  ListAuditEventsRequest,
  type ListAuditEventsResponse,
  ListWatchersRequest,
  type ListWatchersResponse,
  RevocationReason,
  RevokeAllSessionsRequest,
  type RevokeAllSessionsResponse,
  RotationTrigger,
  SetIncidentModeRequest,
  type SetIncidentModeResponse,
  ValidationOutcome,
  WatchRevocationsRequest,
} from "@coatcheck/proto";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { eventually } from "../support/eventually.js";
import { createService, say, warm } from "../support/services.js";
import { failure, invoke, SessionApi } from "../support/session-api.js";
import { storeUnderTest, wrappedStore } from "../support/wrapped-store.js";

const SERVICE = "coatcheck.v1.SessionService/";

let authority: Authority;
let api: SessionApi;
let tenantId = "";

beforeAll(async () => {
  authority = await createAuthority({ createStore: storeUnderTest.create });
  api = new SessionApi(authority.address);
});

afterAll(async () => {
  api.close();
  await authority.close();
});

beforeEach(() => {
  tenantId = `tenant-${randomUUID()}`;
});

async function audit(
  request: Partial<ListAuditEventsRequest> = {},
): Promise<ListAuditEventsResponse> {
  const defaults = ListAuditEventsRequest.create({ tenantId });
  return await invoke(api.admin.listAuditEvents.bind(api.admin), { ...defaults, ...request });
}

async function events(request: Partial<ListAuditEventsRequest> = {}): Promise<AuditEvent[]> {
  return (await audit(request)).events;
}

async function setIncident(
  request: Partial<SetIncidentModeRequest>,
): Promise<SetIncidentModeResponse> {
  return await invoke(api.admin.setIncidentMode.bind(api.admin), {
    ...SetIncidentModeRequest.create(),
    ...request,
  });
}

async function revokeAll(
  request: Partial<RevokeAllSessionsRequest> = {},
  admin = api.admin,
): Promise<RevokeAllSessionsResponse> {
  const defaults = { confirm: "revoke all sessions", reason: RevocationReason.SECURITY_POLICY };
  return await invoke(admin.revokeAllSessions.bind(admin), {
    ...RevokeAllSessionsRequest.create(defaults),
    ...request,
  });
}

async function watchers(): Promise<ListWatchersResponse["watchers"]> {
  const list = api.admin.listWatchers.bind(api.admin);
  return (await invoke(list, ListWatchersRequest.create())).watchers;
}

describe("ListAuditEvents", () => {
  it("has every state change of every method, with who made it (S-45)", async () => {
    const { token, session } = await api.create({ tenantId });
    const sessionId = session?.sessionId ?? "";
    await api.update({ sessionId, set: new Map([["plan", "gold"]]) });
    const rotated = await api.rotate({ token, trigger: RotationTrigger.PRIVILEGE_CHANGE });
    await api.revoke({ target: { $case: "token", value: rotated.token }, reasonAdmin: "stolen" });
    await api.revokeSubject({ tenantId });
    const anonymous = await api.create({ tenantId, subject: "" });
    await api.rotate({
      token: anonymous.token,
      trigger: RotationTrigger.LOGIN,
      bindSubject: "bob",
    });

    const found = await events();

    expect(found.map(({ method, subject, reason }) => [method, subject, reason]).sort()).toEqual(
      [
        [`${SERVICE}CreateSession`, "alice", RevocationReason.UNSPECIFIED],
        [`${SERVICE}UpdateSession`, "alice", RevocationReason.UNSPECIFIED],
        [`${SERVICE}RotateSession`, "alice", RevocationReason.UNSPECIFIED],
        [`${SERVICE}RevokeSession`, "alice", RevocationReason.UNSPECIFIED],
        [`${SERVICE}RevokeSubjectSessions`, "alice", RevocationReason.UNSPECIFIED],
        [`${SERVICE}CreateSession`, "", RevocationReason.UNSPECIFIED],
        [`${SERVICE}RotateSession`, "bob", RevocationReason.UNSPECIFIED],
        [`${SERVICE}RotateSession`, "", RevocationReason.REPLACED],
      ].sort(),
    );
    for (const event of found) {
      expect(event).toMatchObject({ caller: "local", tenantId, statusCode: status.OK });
      expect(event.revision).toBeDefined();
      expect(event.at).toBeDefined();
    }
    expect(found.find(({ method }) => method.endsWith("RevokeSession"))).toMatchObject({
      sessionId,
      reasonAdmin: "stolen",
    });
  });

  it("is filtered by subject, session and instant", async () => {
    const alice = await api.create({ tenantId });
    await api.create({ tenantId, subject: "bob" });
    const sessionId = alice.session?.sessionId ?? "";

    expect(await events({ subject: "bob" })).toMatchObject([{ subject: "bob" }]);
    expect(await events({ sessionId })).toMatchObject([{ sessionId }]);
    const [event] = await events({ sessionId });
    const { seconds, nanos } = event?.at ?? { seconds: 0n, nanos: 0 };
    expect(await events({ sessionId, since: { seconds, nanos } })).toHaveLength(1);
    expect(await events({ sessionId, since: { seconds: seconds + 1n, nanos } })).toEqual([]);
  });

  it("comes newest first over all partitions, and pages leave nothing out", async () => {
    const subjects = Array.from({ length: 40 }, (_, index) => `subject-${index}`);
    await Promise.all(subjects.map((subject) => api.create({ tenantId, subject })));

    const whole = await events({ pageSize: 500 });
    const paged: AuditEvent[] = [];
    let pageToken = "";
    do {
      const page = await audit({ pageSize: 7, pageToken });
      paged.push(...page.events);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    const instants = whole.map(({ at }) => Number(at?.seconds) * 1e9 + (at?.nanos ?? 0));
    expect(whole).toHaveLength(40);
    expect(instants).toEqual(instants.toSorted((a, b) => b - a));
    expect(paged).toEqual(whole);
  });

  it("pages without a filter give the same as one page of everything", async () => {
    const first = await audit({ tenantId: "", pageSize: 500 });
    const paged: AuditEvent[] = [];
    let pageToken = "";
    do {
      const page = await audit({ tenantId: "", pageSize: 3, pageToken });
      paged.push(...page.events);
      pageToken = page.nextPageToken;
    } while (pageToken !== "" && paged.length < first.events.length);

    expect(paged.slice(0, first.events.length)).toEqual(first.events);
  });

  it.each([
    ["page_size", { pageSize: 501 }],
    ["page_token", { pageToken: "nonsense" }],
    ["page_token", { pageToken: Buffer.from("1.1.32").toString("base64url") }],
    ["session_id", { sessionId: "nonsense" }],
    ["since", { since: { seconds: -1n, nanos: 0 } }],
  ])("refuses a wrong %s (S-24, S-43)", async (field, request) => {
    expect(await failure(audit(request))).toMatchObject({
      code: "INVALID_ARGUMENT",
      metadata: { field },
    });
  });
});

describe("ListWatchers", () => {
  it("has an open stream, and an instance that only syncs", async () => {
    const instanceId = randomUUID();
    const stream = api.revocations.watchRevocations(
      WatchRevocationsRequest.create({ clientName: "orders", instanceId, sdkVersion: "1.2.3" }),
    );
    stream.on("error", () => undefined);
    await new Promise((resolve) => stream.once("data", resolve));
    await api.sync({ clientName: "billing", instanceId, staleAllowed: true, staleAccepts: 2n });
    await api.sync({ clientName: "billing", instanceId, staleAllowed: true, staleAccepts: 1n });

    const ours = (await watchers()).filter((watcher) => watcher.instanceId === instanceId);
    stream.cancel();

    expect(ours).toMatchObject([
      { clientName: "orders", sdkVersion: "1.2.3", streaming: true, lastSyncAge: undefined },
      { clientName: "billing", streaming: false, staleAllowed: true, staleAccepts: 3n },
    ]);
    expect(ours[0]?.position).toHaveLength(16);
    expect(ours[1]?.position).toHaveLength(16);
    expect(ours[1]?.lastSyncAge).toBeDefined();
  });

  it("says of a stream whose instance syncs when that was", async () => {
    const instanceId = randomUUID();
    const service = createService(authority.address, { clientName: instanceId });
    await service.ready({ signal: AbortSignal.timeout(10_000) });

    const [watcher] = await eventually(async () => {
      const ours = (await watchers()).filter(({ clientName }) => clientName === instanceId);
      return ours.some(({ streaming }) => streaming) && ours;
    });
    await service.close();

    expect(watcher?.lastSyncAge).toBeDefined();
  });
});

describe("RevokeAllSessions", () => {
  it("ends every session of every tenant, with one event in each partition", async () => {
    const { token } = await api.create({ tenantId });
    const elsewhere = await api.create({ tenantId: `${tenantId}-b`, subject: "bob" });

    const reply = await revokeAll({ reasonAdmin: "keys leaked" });

    const { outcome } = await api.validate(token, { tenantId });
    const { outcome: other } = await api.validate(elsewhere.token, { tenantId: `${tenantId}-b` });
    expect([outcome, other]).toEqual([ValidationOutcome.REVOKED, ValidationOutcome.REVOKED]);
    expect(new Set(reply.revisions.map(({ partition }) => partition)).size).toBe(16);
    expect(reply.effectiveWithin).toBeDefined();
    const recorded = await events({ tenantId: "", pageSize: 16 });
    expect(recorded.filter(({ reasonAdmin }) => reasonAdmin === "keys leaked")).toHaveLength(16);
  });

  it("spares who logs in after it, a repeat with the same request id included", async () => {
    const requestId = randomUUID();
    await revokeAll({ requestId });
    const { token } = await api.create({ tenantId });

    await revokeAll({ requestId });

    const { outcome } = await api.validate(token, { tenantId });
    expect(outcome).toBe(ValidationOutcome.VALID);
  });

  it("does nothing unless it is told the words", async () => {
    const { token } = await api.create({ tenantId });

    for (const confirm of ["", "yes", "Revoke all sessions", "revoke all sessions "]) {
      expect(await failure(revokeAll({ confirm }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        metadata: { field: "confirm" },
      });
    }
    const { outcome } = await api.validate(token, { tenantId });
    expect(outcome).toBe(ValidationOutcome.VALID);
  });

  it("is OK only when every partition confirmed; with some, the outcome is unknown", async () => {
    let calls = 0;
    const half = await createAuthority({
      createStore: wrappedStore({
        before: (method) => {
          if (method === "revokeScope" && ++calls === 16) {
            throw new StoreUnavailableError("away", "no");
          }
        },
      }),
    });
    const halfApi = new SessionApi(half.address);
    const requestId = randomUUID();

    expect(await failure(revokeAll({ requestId }, halfApi.admin))).toMatchObject({
      code: "UNAVAILABLE",
      reason: "STORE_OUTCOME_UNKNOWN",
    });
    expect((await revokeAll({ requestId }, halfApi.admin)).revisions).toHaveLength(16);
    halfApi.close();
    await half.close();
  });
});

describe("SetIncidentMode", () => {
  const lasts = { seconds: 60n, nanos: 0 };

  it("stops the creation of sessions, and says when to come back", async () => {
    await setIncident({ lasts, stopCreating: true });

    // Another replica hears of it with its next pull, and so does this one.
    const refusal = await eventually(async () => await failure(api.create({ tenantId })));
    await setIncident({ lasts: { seconds: 0n, nanos: 0 } });
    await eventually(async () => (await api.create({ tenantId })).token !== "");

    expect(refusal).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      metadata: { incident: "stop_creating" },
    });
    expect(refusal.retryAfterMs).toBeGreaterThan(0);
  });

  it("lowers the bound that a Sync grants, at the first Sync after it", async () => {
    const before = (await api.sync()).maxStaleness;
    const reply = await setIncident({ lasts, maxStaleness: { seconds: 1n, nanos: 0 } });
    const during = (await api.sync()).maxStaleness;
    await setIncident({ lasts: { seconds: 0n, nanos: 0 } });

    expect(before).toEqual({ seconds: 3n, nanos: 0 });
    expect(during).toEqual({ seconds: 1n, nanos: 0 });
    expect((await api.sync()).maxStaleness).toEqual({ seconds: 3n, nanos: 0 });
    // The old bound with both clocks' errors, and how long another replica may go on
    // without having heard of it.
    expect(reply.effectiveWithin).toEqual({ seconds: 3n, nanos: 503_000_000 });
    expect(reply.endsAt).toBeDefined();
  });

  it("stops caches: an SDK asks for every answer, and hits again after it", async () => {
    const { token } = await api.create({ tenantId });
    const service = createService(authority.address, { tenantId, clientName: "incident" });
    await warm(service, token);

    await setIncident({ lasts, stopCaching: true });
    await eventually(async () => {
      const answer = await service.validate(token);
      return answer.kind === "valid" && answer.source === "authority";
    });
    const { cacheable } = await api.validate(token, { tenantId });
    const asked = await api.validCount();
    expect(await say(service, token)).toBe("valid");
    expect(await api.validCount()).toBe(asked + 1);

    await setIncident({ lasts: { seconds: 0n, nanos: 0 } });
    await warm(service, token);
    await service.close();

    expect(cacheable).toBe(false);
  });

  it("refuses what would loosen, last for ever or do nothing", async () => {
    const wrong: [string, Partial<SetIncidentModeRequest>][] = [
      ["lasts", { stopCaching: true }],
      ["lasts", { stopCaching: true, lasts: seconds(7n * 86_400n + 1n) }],
      ["lasts", { lasts: seconds(60n) }],
      ["max_staleness", { lasts, maxStaleness: seconds(4n) }],
      ["max_staleness", { lasts, maxStaleness: { seconds: 0n, nanos: 499_000_000 } }],
    ];
    for (const [field, request] of wrong) {
      expect(await failure(setIncident(request))).toMatchObject({
        code: "INVALID_ARGUMENT",
        metadata: { field },
      });
    }
  });
});

function seconds(value: bigint): { seconds: bigint; nanos: number } {
  return { seconds: value, nanos: 0 };
}
