import { ListAuditEventsRequest, type AuditEvent, WatchRevocationsRequest } from "@coatcheck/proto";
import { credentials, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import {
  callersSection,
  ConfigurationOnDisk,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { eventually } from "../support/eventually.js";
import { HealthClient } from "../support/health.js";
import { failure, invoke, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

const ORDERS: TestCaller = {
  name: "orders",
  roles: ["validator"],
  tenants: ["acme"],
  key: newServiceKey(),
};
const AUDITOR: TestCaller = {
  name: "auditor",
  roles: ["auditor"],
  tenants: "*",
  key: newServiceKey(),
};

let configuration: ConfigurationOnDisk;
let authority: Authority;
const apis: SessionApi[] = [];

beforeEach(async () => {
  configuration = new ConfigurationOnDisk(callersSection([ORDERS, AUDITOR]));
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

function apiOf({ key }: { readonly key?: string | undefined } = {}): SessionApi {
  const api = new SessionApi(authority.address, key === undefined ? {} : { serviceKey: key });
  apis.push(api);
  return api;
}

/** Refusals are recorded a moment after they are told. */
async function denials(count: number): Promise<readonly AuditEvent[]> {
  const { admin } = apiOf(AUDITOR);
  const list = admin.listAuditEvents.bind(admin);
  return await eventually(async () => {
    const { events } = await invoke(list, ListAuditEventsRequest.create());
    const denied = events.filter(({ statusCode }) => statusCode !== 0);
    return denied.length >= count && denied;
  });
}

describe("the audit trail of refused calls (S-45)", () => {
  it("has a caller without the role, by its name, with what it asked for", async () => {
    await failure(apiOf(ORDERS).create({ tenantId: "acme" }));

    expect(await denials(1)).toMatchObject([
      {
        method: "coatcheck.v1.SessionService/CreateSession",
        caller: "orders",
        tenantId: "acme",
        statusCode: status.PERMISSION_DENIED,
        revision: undefined,
      },
    ]);
  });

  it("has a caller that reached for another tenant, and a stream too", async () => {
    const orders = apiOf(ORDERS);
    await failure(orders.validate("cc1_x", { tenantId: "globex" }));
    const stream = orders.revocations.watchRevocations(
      WatchRevocationsRequest.create({ tenantIds: ["globex"] }),
    );
    await new Promise((resolve) => stream.once("error", resolve));

    const found = await denials(2);

    expect(found.map(({ method }) => method).sort()).toEqual([
      "coatcheck.v1.RevocationService/WatchRevocations",
      "coatcheck.v1.SessionService/ValidateSession",
    ]);
    expect(found.every(({ caller }) => caller === "orders")).toBe(true);
  });

  it("has the items of a batch, once for each tenant that was reached for", async () => {
    const item = { token: "cc1_x", tenantId: "globex" };
    const invalid = { ...item, tenantId: "acme", audienceClientIds: [""] };
    const { items } = await apiOf(ORDERS).batch([invalid, item, item]);

    const found = await denials(1);

    expect(items).toHaveLength(3);
    expect(found).toMatchObject([
      {
        method: "coatcheck.v1.SessionService/BatchValidateSessions",
        caller: "orders",
        tenantId: "globex",
      },
    ]);
  });

  it("has nothing of a health check, which needs no identity", async () => {
    const key = newServiceKey();
    const health = new HealthClient(authority.address, credentials.createInsecure());
    expect(await health.check("")).toBe("SERVING");
    health.close();
    await failure(apiOf({ key }).stats());

    expect(await denials(1)).toHaveLength(1);
  });

  it("has a Sync that reached for another tenant, to the auditor of that tenant too", async () => {
    await failure(apiOf(ORDERS).sync({ tenantIds: ["globex"] }));

    expect(await denials(1)).toMatchObject([
      { method: "coatcheck.v1.RevocationService/SyncRevocations", tenantId: "globex" },
    ]);
  });

  it("has a stranger, under no name, and nothing of the key it showed", async () => {
    const key = newServiceKey();
    await failure(apiOf({ key }).stats());

    const found = await denials(1);

    expect(found).toMatchObject([
      {
        method: "coatcheck.v1.AdminService/GetStats",
        caller: "",
        statusCode: status.UNAUTHENTICATED,
      },
    ]);
    const told = JSON.stringify(found, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    expect(told).not.toContain(key);
  });

  it("has nothing of a call that failed for another reason", async () => {
    await failure(apiOf(ORDERS).validate("cc1_x", { tenantId: "acme", audienceClientIds: [""] }));
    await failure(apiOf(ORDERS).create({ tenantId: "acme" }));

    expect(await denials(1)).toHaveLength(1);
  });
});
