// Which calls leave a trace in the audit trail, and who may read which of it (S-45, S-28).

import { randomUUID } from "node:crypto";

import {
  AdminServiceService,
  type AuditEvent,
  ListAuditEventsRequest,
  RecoverSessionRequest,
  RevocationReason,
  RevocationServiceService,
  RevokeAllSessionsRequest,
  RevokeTenantSessionsRequest,
  RotationTrigger,
  SessionServiceService,
  SetIncidentModeRequest,
} from "@coatcheck/proto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { MethodName } from "#server/rpc/authorization.js";
import { type Authority, createAuthority } from "#server/server.js";

import {
  callersSection,
  ConfigurationOnDisk,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { failure, invoke, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

const METHODS = {
  ...SessionServiceService,
  ...RevocationServiceService,
  ...AdminServiceService,
};

/**
 * What a method does to the data: nothing that the trail has, or a change, with a
 * call that makes one. `uses`: the last use of a session is no event.
 */
type Effect = "reads" | "uses" | ((api: SessionApi, tenantId: string) => Promise<unknown>);

/** A row for each method of the contract: one that is added does not compile without. */
const EFFECTS: Readonly<Record<MethodName, Effect>> = {
  createSession: (api, tenantId) => api.create({ tenantId }),
  validateSession: "uses",
  batchValidateSessions: "uses",
  touchSessions: "uses",
  getSession: "reads",
  listSessions: "reads",
  updateSession: async (api, tenantId) => {
    const { session } = await api.create({ tenantId });
    await api.update({ sessionId: session?.sessionId ?? "", set: new Map([["plan", "gold"]]) });
  },
  rotateSession: async (api, tenantId) => {
    const { token } = await api.create({ tenantId });
    await api.rotate({ token, trigger: RotationTrigger.PERIODIC });
  },
  revokeSession: async (api, tenantId) => {
    const { token } = await api.create({ tenantId });
    await api.revoke({ target: { $case: "token", value: token } });
  },
  revokeSubjectSessions: (api, tenantId) => api.revokeSubject({ tenantId }),
  revokeTenantSessions: async (api, tenantId) => {
    const revoke = api.client.revokeTenantSessions.bind(api.client);
    await unlessUnimplemented(invoke(revoke, RevokeTenantSessionsRequest.create({ tenantId })));
  },
  recoverSession: async (api) => {
    const recover = api.client.recoverSession.bind(api.client);
    await unlessUnimplemented(invoke(recover, RecoverSessionRequest.create()));
  },
  watchRevocations: "reads",
  syncRevocations: "reads",
  getStats: "reads",
  listAuditEvents: "reads",
  listWatchers: "reads",
  revokeAllSessions: async ({ admin }) => {
    const confirm = "revoke all sessions";
    const revokeAll = admin.revokeAllSessions.bind(admin);
    await invoke(revokeAll, RevokeAllSessionsRequest.create({ confirm }));
  },
  setIncidentMode: endIncident,
};

/** In the contract and not in this server: the day it is, its row has to make a change. */
const UNIMPLEMENTED: readonly MethodName[] = ["revokeTenantSessions", "recoverSession"];

async function unlessUnimplemented(call: Promise<unknown>): Promise<void> {
  expect(await failure(call)).toMatchObject({ code: "UNIMPLEMENTED" });
}

async function list(
  { admin }: SessionApi,
  request: Partial<ListAuditEventsRequest> = {},
): Promise<{ events: AuditEvent[]; nextPageToken: string }> {
  const listAuditEvents = admin.listAuditEvents.bind(admin);
  return await invoke(listAuditEvents, { ...ListAuditEventsRequest.create(), ...request });
}

const METHOD_NAMES = Object.keys(METHODS) as MethodName[];

describe("the audit trail", () => {
  let authority: Authority;
  let api: SessionApi;

  beforeAll(async () => {
    authority = await createAuthority({ createStore: storeUnderTest.create });
    api = new SessionApi(authority.address);
  });

  afterAll(async () => {
    api.close();
    await authority.close();
  });

  it.each(METHOD_NAMES.filter((name) => typeof EFFECTS[name] === "function"))(
    "has what %s changes, with who called",
    async (name) => {
      const effect = EFFECTS[name];
      if (typeof effect === "string") return;
      const before = (await list(api, { pageSize: 500 })).events.map(({ eventId }) => eventId);

      await effect(api, `tenant-${randomUUID()}`);

      const { events } = await list(api, { pageSize: 500 });
      const fresh = events.filter(({ eventId }) => !before.includes(eventId));
      const method = METHODS[name].path.slice(1);
      const own = fresh.filter((event) => event.method === method);
      expect(own.length > 0).toBe(!UNIMPLEMENTED.includes(name));
      expect(own.every(({ caller, statusCode }) => caller === "local" && statusCode === 0)).toBe(
        true,
      );
    },
  );

  it("is told apart from reads by the contract: what has a request id changes something", () => {
    const repeatable = METHOD_NAMES.filter((name) => {
      const request: object = METHODS[name].requestDeserialize(Buffer.alloc(0));
      return "requestId" in request;
    });

    expect(repeatable.filter((name) => typeof EFFECTS[name] === "string")).toEqual([]);
    expect(repeatable).toContain("createSession");
  });

  it("says of an eviction that a creation did it, and which", async () => {
    const tenantId = `tenant-${randomUUID()}`;
    const sessions = [];
    for (let made = 0; made < 4; made += 1) sessions.push(await api.create({ tenantId }));

    const { events } = await list(api, { tenantId });

    const [created, evicted] = events;
    expect(evicted).toMatchObject({
      method: "coatcheck.v1.SessionService/CreateSession",
      caller: "local",
      sessionId: sessions[0]?.session?.sessionId,
      reason: RevocationReason.LIMIT_EXCEEDED,
    });
    expect(created?.sessionId).toBe(sessions[3]?.session?.sessionId);
    expect(evicted?.eventId).toBe(`${created?.eventId}.1`);
  });

  it("says what an incident mode was set to", async () => {
    const set = api.admin.setIncidentMode.bind(api.admin);
    await invoke(
      set,
      SetIncidentModeRequest.create({
        maxStaleness: { seconds: 1n, nanos: 0 },
        stopCreating: true,
        lasts: { seconds: 60n, nanos: 0 },
      }),
    );
    await endIncident(api);

    const { events } = await list(api, { pageSize: 2 });
    expect(events.map(({ reasonAdmin }) => reasonAdmin)).toEqual([
      "ended",
      "max_staleness 1000 ms, stop_creating for 60 s",
    ]);
  });

  it("pages on without a hole or a repeat while entries are appended", async () => {
    const tenantId = `tenant-${randomUUID()}`;
    const made: string[] = [];
    async function make(count: number): Promise<void> {
      for (let index = 0; index < count; index += 1) {
        const { session } = await api.create({ tenantId, subject: randomUUID() });
        made.push(session?.sessionId ?? "");
      }
    }
    await make(12);
    const first = made.toSorted();

    const paged: string[] = [];
    let pageToken = "";
    do {
      const page = await list(api, { tenantId, pageSize: 5, pageToken });
      paged.push(...page.events.map(({ sessionId }) => sessionId));
      pageToken = page.nextPageToken;
      await make(3);
    } while (pageToken !== "");

    expect(paged.toSorted()).toEqual(first);
  });

  it("reads nothing but the list itself through a forged page token (S-24)", async () => {
    const tenantId = `tenant-${randomUUID()}`;
    await api.create({ tenantId });

    const future = await list(api, { tenantId, pageToken: forge(`${"9".repeat(15)}.0.0`) });
    const past = await list(api, { tenantId, pageToken: forge("0.0.31") });

    expect(future.events).toHaveLength(1);
    expect(past).toMatchObject({ events: [], nextPageToken: "" });
    for (const place of ["1.1", "1.1.1.1", "-1.0.0", "1.1.99", "1e3.0.0", "*", "9".repeat(99)]) {
      expect(await failure(list(api, { pageToken: forge(place) }))).toMatchObject({
        metadata: { field: "page_token" },
      });
    }
  });
});

function forge(place: string): string {
  return Buffer.from(place).toString("base64url");
}

/** A change that concerns no tenant. */
async function endIncident({ admin }: SessionApi): Promise<void> {
  const set = admin.setIncidentMode.bind(admin);
  await invoke(set, SetIncidentModeRequest.create({ lasts: { seconds: 0n, nanos: 0 } }));
}

describe("an auditor of one tenant", () => {
  const ISSUER: TestCaller = caller("issuer", ["issuer", "admin"], "*");
  const AUDITOR: TestCaller = caller("acme-auditor", ["auditor"], ["acme"]);
  let configuration: ConfigurationOnDisk;
  let authority: Authority;
  const apis: SessionApi[] = [];

  beforeEach(async () => {
    configuration = new ConfigurationOnDisk(callersSection([ISSUER, AUDITOR]));
    authority = await createAuthority({
      configurationPath: configuration.path,
      createStore: storeUnderTest.create,
    });
  });

  afterEach(async () => {
    for (const api of apis.splice(0)) api.close();
    await authority.close();
    configuration.remove();
  });

  function apiOf({ key }: TestCaller): SessionApi {
    const api = new SessionApi(authority.address, key === undefined ? {} : { serviceKey: key });
    apis.push(api);
    return api;
  }

  it("sees its tenant's events, no other's, and nothing of the deployment", async () => {
    const issuer = apiOf(ISSUER);
    const auditor = apiOf(AUDITOR);
    await issuer.create({ tenantId: "globex" });
    const { session } = await issuer.create({ tenantId: "acme" });
    await endIncident(issuer);

    const { events } = await list(auditor, { tenantId: "acme", pageSize: 500 });

    expect(events.map(({ tenantId, sessionId }) => [tenantId, sessionId])).toEqual([
      ["acme", session?.sessionId],
    ]);
    for (const tenantId of ["", "globex", "ACME", "acme ", "acm"]) {
      expect(await failure(list(auditor, { tenantId }))).toMatchObject({
        reason: "CALLER_NOT_ALLOWED",
      });
    }
  });

  it("sees nothing of another tenant's session under its own name", async () => {
    const { session } = await apiOf(ISSUER).create({ tenantId: "globex" });

    const sessionId = session?.sessionId ?? "";

    expect((await list(apiOf(AUDITOR), { tenantId: "acme", sessionId })).events).toEqual([]);
  });
});

function caller(
  name: string,
  roles: TestCaller["roles"],
  tenants: TestCaller["tenants"],
): TestCaller {
  return { name, roles, tenants, key: newServiceKey() };
}
