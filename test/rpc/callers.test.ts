import {
  ListAuditEventsRequest,
  RevocationReason,
  RotateSessionResponse,
  RotationTrigger,
  ValidationOutcome,
} from "@coatcheck/proto";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { mintSessionId } from "#server/session/token.js";
import { type Authority, createAuthority } from "#server/server.js";
import { createMemoryStore, type MemoryStore } from "#server/store/memory/memory-store.js";

import {
  callersSection,
  ConfigurationOnDisk,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { type Child, startChild } from "../support/child.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { createService } from "../support/services.js";
import { failure, invoke, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

const ALL = ["issuer", "validator", "revoker", "auditor"] as const;
const ACME: TestCaller = { name: "acme", roles: ALL, tenants: ["acme"], key: newServiceKey() };
const GLOBEX: TestCaller = {
  name: "globex",
  roles: ALL,
  tenants: ["globex"],
  key: newServiceKey(),
};

const closing: (() => void | Promise<void>)[] = [];
let configuration: ConfigurationOnDisk;

beforeEach(() => {
  configuration = new ConfigurationOnDisk(callersSection([ACME, GLOBEX]));
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  configuration.remove();
});

async function start(): Promise<Authority> {
  const authority = await createAuthority({
    configurationPath: configuration.path,
    createStore: storeUnderTest.create,
    drainReconnectMs: 100,
  });
  closing.push(() => authority.close());
  return authority;
}

function apiOf(address: string, { key }: { readonly key?: string } = {}): SessionApi {
  const api = new SessionApi(address, key === undefined ? {} : { serviceKey: key });
  closing.push(() => {
    api.close();
  });
  return api;
}

describe("a service of one tenant", () => {
  let acme: SessionApi;
  let globex: SessionApi;

  beforeEach(async () => {
    const { address } = await start();
    acme = apiOf(address, ACME);
    globex = apiOf(address, GLOBEX);
  });

  it("is told NOT_FOUND of another tenant's token, and of its own with the wrong audience", async () => {
    const own = await acme.create({ clientId: "web" });
    const foreign = await globex.create({ tenantId: "globex" });

    const { NOT_FOUND, VALID } = ValidationOutcome;
    expect((await acme.validate(foreign.token)).outcome).toBe(NOT_FOUND);
    expect((await acme.validate(own.token, { audienceClientIds: ["app"] })).outcome).toBe(
      NOT_FOUND,
    );
    expect((await acme.validate(own.token, { audienceClientIds: ["web"] })).outcome).toBe(VALID);
  });

  it("cannot tell another tenant's session from one that never was (S-28)", async () => {
    const { session, token } = await globex.create({ tenantId: "globex" });
    const there = session?.sessionId ?? "";
    const nowhere = mintSessionId(Number.parseInt(there.slice(0, 2), 16));
    const tokenSha256 = createHash("sha256").update(token).digest();
    async function probe(sessionId: string): Promise<object[]> {
      return [
        { ...(await failure(acme.get(sessionId))), metadata: {} },
        { ...(await failure(acme.update({ sessionId }))), metadata: {} },
        await acme.touch([{ sessionId, tokenSha256, idleFor: undefined }]),
        await acme.revoke({
          reason: RevocationReason.ADMIN,
          target: { $case: "sessionId", value: sessionId },
        }),
      ];
    }

    expect(await probe(there)).toEqual(await probe(nowhere));
    expect((await globex.validate(token, { tenantId: "globex" })).outcome).toBe(
      ValidationOutcome.VALID,
    );
  });

  it("cannot rotate, bind or end another tenant's session with a token that it found", async () => {
    const bound = await globex.create({ tenantId: "globex" });
    const anonymous = await globex.create({ tenantId: "globex", subject: "" });
    const rotations = [
      { token: bound.token, trigger: RotationTrigger.PERIODIC },
      { token: bound.token, trigger: RotationTrigger.REAUTHENTICATION, aal: 2 },
      { token: anonymous.token, trigger: RotationTrigger.LOGIN, bindSubject: "mallory" },
    ];

    for (const rotation of rotations) {
      expect(await acme.rotate(rotation)).toMatchObject({
        outcome: ValidationOutcome.NOT_FOUND,
        token: "",
        session: undefined,
        ended: undefined,
      });
    }
    const revoked = await acme.revoke({
      reason: RevocationReason.ADMIN,
      target: { $case: "token", value: bound.token },
    });

    expect(revoked.found).toBe(false);
    for (const { token } of [bound, anonymous]) {
      expect((await globex.validate(token, { tenantId: "globex" })).outcome).toBe(
        ValidationOutcome.VALID,
      );
    }
  });
});

describe("a request id of another tenant", () => {
  let acme: SessionApi;
  let globex: SessionApi;
  const cause = { reason: RevocationReason.ADMIN };

  beforeEach(async () => {
    const { address } = await start();
    acme = apiOf(address, ACME);
    globex = apiOf(address, GLOBEX);
  });

  it("creates a session of one's own, and says nothing of the other's (S-28)", async () => {
    const request = { requestId: "shared", retrySecret: Buffer.alloc(32, 7) };
    const foreign = await globex.create({ ...request, tenantId: "globex" });

    const own = await acme.create(request);
    await globex.revokeSubject({ ...cause, tenantId: "globex", requestId: "subject" });
    const revoked = await acme.revokeSubject({ ...cause, requestId: "subject" });

    expect(own.session?.tenantId).toBe("acme");
    expect(own.token).not.toBe(foreign.token);
    expect((await acme.validate(own.token)).outcome).toBe(ValidationOutcome.REVOKED);
    expect(revoked.revokedCountEstimate).toBe(1n);
  });

  it("repeats nothing by session or token, before the session ends and after (S-28)", async () => {
    const first = await globex.create({ tenantId: "globex" });
    const anonymous = await globex.create({ tenantId: "globex", subject: "" });
    const sessionId = first.session?.sessionId ?? "";
    const set = new Map([["a", "b"]]);
    const { PERIODIC, LOGIN } = RotationTrigger;
    const target = { $case: "sessionId", value: sessionId } as const;
    const rotation = { token: first.token, trigger: PERIODIC, requestId: "rotate" };
    const login = {
      token: anonymous.token,
      trigger: LOGIN,
      bindSubject: "alice",
      requestId: "bind",
    };
    async function probe(): Promise<void> {
      expect(await failure(acme.update({ sessionId, set, requestId: "update" }))).toMatchObject({
        code: "NOT_FOUND",
        reason: "SESSION_NOT_FOUND",
      });
      for (const request of [rotation, login, { ...login, bindSubject: "mallory" }]) {
        expect(await acme.rotate(request)).toEqual(
          RotateSessionResponse.create({ outcome: ValidationOutcome.NOT_FOUND }),
        );
      }
      // With what the other tenant sent, and with something else: neither "again" nor "reused".
      for (const reason of [RevocationReason.ADMIN, RevocationReason.ACCOUNT_DISABLED]) {
        expect(await acme.revoke({ reason, target, requestId: "revoke" })).toMatchObject({
          found: false,
          alreadyRevoked: false,
          revision: undefined,
        });
      }
    }

    await globex.update({ sessionId, set, requestId: "update" });
    await globex.rotate(rotation);
    await globex.rotate(login);
    await probe();
    expect((await globex.revoke({ ...cause, target, requestId: "revoke" })).found).toBe(true);
    await probe();

    expect((await globex.revoke({ ...cause, target, requestId: "revoke" })).found).toBe(true);
  });

  it("is in the audit of its own tenant alone (S-45)", async () => {
    const { session } = await globex.create({ tenantId: "globex" });
    const sessionId = session?.sessionId ?? "";
    async function entries(api: SessionApi, tenantId: string): Promise<number> {
      const request = ListAuditEventsRequest.create({ tenantId, sessionId });
      return (await invoke(api.admin.listAuditEvents.bind(api.admin), request)).events.length;
    }

    expect(await entries(globex, "globex")).toBeGreaterThan(0);
    expect(await entries(acme, "acme")).toBe(0);
    expect(await failure(entries(acme, "globex"))).toMatchObject({ reason: "CALLER_NOT_ALLOWED" });
  });
});

describe("a watcher of one tenant", () => {
  it("gets none of another tenant's 10,000 events and is fresh all the while", async () => {
    let store: MemoryStore | undefined;
    const authority = await createAuthority({
      configurationPath: configuration.path,
      maxStalenessMs: 3_000,
      createStore: (options) => (store = createMemoryStore(options)),
    });
    closing.push(() => authority.close());
    const service = createService(authority.address, { serviceKey: String(ACME.key) });
    closing.push(() => service.close());
    const told: string[] = [];
    service.onRevoked(({ tenantId }) => void told.push(tenantId));
    const { token } = await service.create({ subject: "alice" });
    await eventually(() => service.status().state === "fresh" && service.status().isStreaming, {
      timeoutMs: 20_000,
    });
    const states = new Set<string>();
    const before = service.status().counters;

    for (let index = 0; index < 10_000; index += 1) {
      await store?.sessions.revokeScope({
        partition: index % 16,
        scope: {
          kind: "subject",
          tenantId: "globex",
          subject: `subject-${index}`,
          exceptSessionId: undefined,
        },
        cause: { reason: "admin", initiatingEntity: "admin", reasonAdmin: "", reasonUser: "" },
        request: undefined,
        eventId: `event-${index}`,
      });
      states.add(service.status().state);
      // Three Syncs are a lease: five outlast every lease that was there when this began.
      const { syncs } = service.status().counters;
      if (index % 2_000 === 0) {
        await eventually(() => service.status().counters.syncs > syncs, { timeoutMs: 20_000 });
      }
    }
    // Its own event comes through, after all of theirs.
    const own = apiOf(authority.address, ACME);
    await own.revokeSubject({ reason: RevocationReason.ADMIN });
    await eventually(
      () => {
        states.add(service.status().state);
        return told.length > 0;
      },
      { timeoutMs: 20_000 },
    );

    expect(told).toEqual(["acme"]);
    expect([...states]).toEqual(["fresh"]);
    expect(service.status().counters.resets).toEqual(before.resets);
    expect((await service.validate(token)).kind).toBe("invalid");
  }, 120_000);

  it("gets its own tenants' events where it names none", async () => {
    const { address } = await start();
    const acme = apiOf(address, ACME);
    const globex = apiOf(address, GLOBEX);
    const { heads, deploymentId } = await acme.sync();
    await acme.create();
    await globex.create({ tenantId: "globex" });

    await globex.revokeSubject({ tenantId: "globex", reason: RevocationReason.ADMIN });
    await acme.revokeSubject({ reason: RevocationReason.ADMIN });

    const { events } = await acme.sync({ position: heads, deploymentId });
    expect(events.map(({ tenantId }) => tenantId)).toEqual(["acme"]);
  });
});

describe("the configuration of a process", () => {
  async function startProcess(): Promise<{ child: Child; address: string }> {
    const address = `127.0.0.1:${await freePort()}`;
    const child = startChild("server/src/main.ts", {
      env: { COATCHECK_LISTEN: address, COATCHECK_CONFIG: configuration.path },
    });
    closing.push(() => child.kill().then(() => undefined));
    await child.waitForLine(/listens on/);
    return { child, address };
  }

  function linesOf(child: Child, message: string): string[] {
    return child.stderr.split("\n").filter((line) => line.includes(message));
  }

  it("is as it was after a broken file and SIGHUP, which one line says", async () => {
    const { child, address } = await startProcess();
    const acme = apiOf(address, ACME);
    const { token } = await acme.create();

    configuration.write("callers: [{ name: acme, roles: [king] }]");
    process.kill(child.pid, "SIGHUP");
    await eventually(() => linesOf(child, "stays as it was").length > 0);

    expect((await acme.validate(token)).outcome).toBe(ValidationOutcome.VALID);
    expect(await failure(apiOf(address).create())).toMatchObject({ reason: "CALLER_UNKNOWN" });
    expect(linesOf(child, "stays as it was")).toHaveLength(1);
    expect(linesOf(child, "stays as it was")[0]).toContain(
      'callers[0].roles[0] is \\"king\\": it must be one of issuer, validator',
    );
  });

  it("changes as a whole on SIGHUP: callers and policies", async () => {
    const { child, address } = await startProcess();
    const successor: TestCaller = { ...ACME, name: "successor", key: newServiceKey() };

    configuration.write({
      ...callersSection([successor]),
      policies: { short: { absolute_timeout: "1m" } },
    });
    process.kill(child.pid, "SIGHUP");
    await eventually(() => linesOf(child, "was reloaded").length > 0);

    expect(await failure(apiOf(address, ACME).create())).toMatchObject({
      reason: "CALLER_UNKNOWN",
    });
    const { session } = await apiOf(address, successor).create({ policy: "short" });
    const lifeS = Number(session?.absoluteExpiresAt?.seconds) - Number(session?.createdAt?.seconds);
    expect(lifeS).toBe(60);
  });

  it("changes by itself when the file does, and not back to serving everybody", async () => {
    const { child, address } = await startProcess();

    configuration.write(callersSection([ACME]));
    await eventually(() => linesOf(child, "was reloaded").length > 0, { timeoutMs: 20_000 });
    configuration.write("policies: {}");
    process.kill(child.pid, "SIGHUP");
    await eventually(() => linesOf(child, "callers is missing").length > 0);

    expect(await failure(apiOf(address, GLOBEX).create({ tenantId: "globex" }))).toMatchObject({
      reason: "CALLER_UNKNOWN",
    });
    expect(await failure(apiOf(address).create())).toMatchObject({ reason: "CALLER_UNKNOWN" });
  });

  it("with a mistake ends the start with one sentence and code 2", async () => {
    configuration.write("limit: {}");
    const child = startChild("server/src/main.ts", {
      env: { COATCHECK_CONFIG: configuration.path },
    });
    closing.push(() => child.kill().then(() => undefined));

    expect(await child.exited).toMatchObject({ code: 2 });
    expect(child.stderr).toBe(`Cannot use ${configuration.path}: limit: there is no such key\n`);
  });

  it("is said in one line of the banner: who may call", async () => {
    const { child } = await startProcess();
    const open = startChild("server/src/main.ts", {
      env: { COATCHECK_LISTEN: `127.0.0.1:${await freePort()}` },
    });
    closing.push(() => open.kill().then(() => undefined));
    await open.waitForLine(/npm start/);
    await child.waitForLine(/npm start/);

    expect(child.stdout).toContain("Only configured callers are served");
    expect(open.stdout).toContain(
      "NO CALLERS CONFIGURED: every program on this machine may do everything.",
    );
  });
});
