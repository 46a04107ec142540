import { RevocationReason, WatchRevocationsRequest } from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import {
  callersSection,
  ConfigurationOnDisk,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { eventually } from "../support/eventually.js";
import { createService } from "../support/services.js";
import { failure, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";
import { TestWatch } from "./watch-client.js";

// What a caller may is what the configuration says now, for streams that are open too (S-27, S-28).

const BOTH = ["acme", "globex"];
const ROLES = ["issuer", "validator", "revoker"];
const reader: TestCaller = {
  name: "reader",
  roles: ["validator"],
  tenants: BOTH,
  key: newServiceKey(),
};
const writer: TestCaller = { name: "writer", roles: ROLES, tenants: "*", key: newServiceKey() };

const closing: (() => void | Promise<void>)[] = [];
let configuration: ConfigurationOnDisk;
let authority: Authority;

beforeEach(async () => {
  configuration = new ConfigurationOnDisk(callersSection([reader, writer]));
  closing.push(() => {
    configuration.remove();
  });
  authority = await createAuthority({
    configurationPath: configuration.path,
    createStore: storeUnderTest.create,
  });
  closing.push(() => authority.close());
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function apiOf({ key }: TestCaller): SessionApi {
  const api = new SessionApi(authority.address, { serviceKey: String(key) });
  closing.push(() => {
    api.close();
  });
  return api;
}

async function watch(
  caller: TestCaller,
  request: Partial<WatchRevocationsRequest> = {},
): Promise<TestWatch> {
  const { revocations } = apiOf(caller);
  const stream = new TestWatch(
    revocations.watchRevocations(WatchRevocationsRequest.fromPartial(request)),
  );
  closing.push(() => {
    stream.call.cancel();
  });
  await eventually(() => stream.kinds().includes("opened") || stream.refusal !== undefined);
  return stream;
}

function configure(...callers: readonly TestCaller[]): void {
  configuration.write(callersSection(callers));
  authority.reload();
}

function tenantsOf(stream: TestWatch): string[] {
  return stream.messages.flatMap(({ body }) =>
    body?.$case === "batch" ? body.value.events.map(({ tenantId }) => tenantId) : [],
  );
}

async function endAll(tenantId: string, subject: string): Promise<void> {
  const api = apiOf(writer);
  await api.create({ tenantId, subject });
  await api.revokeSubject({ tenantId, subject, reason: RevocationReason.ADMIN });
}

describe("an open stream of a caller whose rights a reload changes", () => {
  const losses: [string, TestCaller[], object][] = [
    ["its role", [{ ...reader, roles: ["issuer"] }, writer], { reason: "CALLER_NOT_ALLOWED" }],
    ["its key", [{ ...reader, key: newServiceKey() }, writer], { reason: "CALLER_UNKNOWN" }],
    ["its place in the file", [writer], { reason: "CALLER_UNKNOWN" }],
  ];

  it.each(losses)("ends at once where it loses %s", async (_, callers, refusal) => {
    const stream = await watch(reader);

    configure(...callers);
    const told = stream.messages.length;
    await stream.ended;

    expect(stream.refusal).toMatchObject(refusal);
    // Nothing that was sent after the change was on its way.
    expect(stream.messages.length).toBe(told);
  });

  it("ends at once where a tenant that it named is not its own any more", async () => {
    const stream = await watch(reader, { tenantIds: BOTH });
    const kept = await watch(reader, { tenantIds: ["acme"] });

    configure({ ...reader, tenants: ["acme"] }, writer);
    await stream.ended;
    await endAll("acme", "alice");

    expect(stream.refusal).toMatchObject({ reason: "CALLER_NOT_ALLOWED" });
    await eventually(() => tenantsOf(kept).length === 1);
    expect(kept.refusal).toBeUndefined();
  });

  it.each([
    ["narrowed", ["acme"]],
    ["widened", "*" as const],
  ])("is to reconnect where the tenants that it did not name are %s", async (_, tenants) => {
    const stream = await watch(reader);

    configure({ ...reader, tenants }, writer);
    await stream.ended;

    expect(stream.refusal).toMatchObject({ code: "UNAVAILABLE", reason: "DRAINING" });
  });

  it("resumes with its position, and gets from there on what it may see now", async () => {
    const { heads, deploymentId } = await apiOf(reader).sync();
    const first = await watch(reader, { position: heads, deploymentId });
    await endAll("globex", "before");
    await eventually(() => tenantsOf(first).length === 1);

    configure({ ...reader, tenants: ["acme"] }, writer);
    await first.ended;
    await endAll("globex", "after");
    await endAll("acme", "after");
    const resumed = await watch(reader, { position: heads, deploymentId });
    await eventually(() => tenantsOf(resumed).length > 0);
    const synced = await apiOf(reader).sync({ position: heads, deploymentId });

    expect(tenantsOf(first)).toEqual(["globex"]);
    expect(tenantsOf(resumed)).toEqual(["acme"]);
    expect(synced.events.map(({ tenantId }) => tenantId)).toEqual(["acme"]);
    // What it may not see is covered all the same, or it could never be fresh.
    expect(new Map(synced.ranges.map(({ through }) => [through?.partition, through]))).toEqual(
      new Map(synced.heads.map((head) => [head.partition, head])),
    );
  });

  it("goes on where only others' rights change, and an SDK stays fresh", async () => {
    const stream = await watch(reader);
    const service = createService(authority.address, { serviceKey: String(reader.key) });
    closing.push(() => service.close());
    await service.ready();
    await eventually(() => service.status().isStreaming);

    configure(reader, { ...writer, tenants: BOTH });
    await endAll("acme", "alice");
    await eventually(() => tenantsOf(stream).length === 1);

    expect(stream.refusal).toBeUndefined();
    expect(service.status()).toMatchObject({ state: "fresh", isStreaming: true });
  });

  it("is where callers are configured for the first time the local caller's no more", async () => {
    const open = new ConfigurationOnDisk("policies: {}");
    const local = await createAuthority({ configurationPath: open.path });
    closing.push(() => {
      open.remove();
    });
    closing.push(() => local.close());
    const api = new SessionApi(local.address);
    closing.push(() => {
      api.close();
    });
    const stream = new TestWatch(
      api.revocations.watchRevocations(WatchRevocationsRequest.fromPartial({})),
    );
    await eventually(() => stream.kinds().includes("opened"));

    open.write(callersSection([writer]));
    local.reload();
    await stream.ended;

    expect(stream.refusal).toMatchObject({ code: "UNAUTHENTICATED", reason: "CALLER_UNKNOWN" });
    expect(await failure(api.sync())).toMatchObject({ reason: "CALLER_UNKNOWN" });
  });
});

describe("a unary call", () => {
  it("is asked about anew each time, on a connection that stays open", async () => {
    const api = apiOf(reader);
    const { token } = await apiOf(writer).create();
    await api.validate(token);

    configure({ ...reader, tenants: ["globex"] }, writer);

    expect(await failure(api.validate(token))).toMatchObject({ reason: "CALLER_NOT_ALLOWED" });
    expect(await failure(api.sync({ tenantIds: ["acme"] }))).toMatchObject({
      reason: "CALLER_NOT_ALLOWED",
    });
  });

  it("is known by each of two keys while one is exchanged for the other", async () => {
    const successor = newServiceKey();
    const section = callersSection([reader, writer]) as { callers: object[] };
    const both = callersSection([{ ...reader, key: successor }]) as {
      callers: { service_key_hashes: string[] }[];
    };
    const [entry] = section.callers as { service_key_hashes: string[] }[];
    entry?.service_key_hashes.push(...(both.callers[0]?.service_key_hashes ?? []));
    configuration.write(section);
    authority.reload();

    expect((await apiOf(reader).sync()).heads).toHaveLength(16);
    expect((await apiOf({ ...reader, key: successor }).sync()).heads).toHaveLength(16);
  });
});
