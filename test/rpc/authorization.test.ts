import {
  AdminServiceService,
  BatchValidateSessionsResponse,
  CreateSessionRequest,
  GetStatsRequest,
  ListAuditEventsRequest,
  ListAuditEventsResponse,
  ListSessionsRequest,
  ListWatchersRequest,
  RecoverSessionRequest,
  RevocationReason,
  RevocationServiceService,
  RevokeAllSessionsRequest,
  RevokeSessionRequest,
  RevokeSessionResponse,
  RevokeSubjectSessionsRequest,
  RevokeTenantSessionsRequest,
  RotateSessionRequest,
  RotateSessionResponse,
  RotationTrigger,
  SessionServiceService,
  SetIncidentModeRequest,
  SyncRevocationsRequest,
  TouchSessionsRequest,
  TouchSessionsResponse,
  UpdateSessionRequest,
  ValidateSessionRequest,
  ValidateSessionResponse,
  ValidationOutcome,
  WatchRevocationsRequest,
} from "@coatcheck/proto";
import { Client, credentials, type ServiceError, status as GrpcCode } from "@grpc/grpc-js";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ROLES } from "#server/callers/caller.js";
import { ACCESS, accessOf, type MethodName } from "#server/rpc/authorization.js";
import { type Authority, createAuthority } from "#server/server.js";

import {
  bearer,
  callersSection,
  ConfigurationOnDisk,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { eventually } from "../support/eventually.js";
import { readFailure } from "../support/session-api.js";

// S-27 and S-28: every method × (five roles and no caller) × (own tenant, foreign tenant), each
// cell as a call on a real connection, all of them expected from the one table.

const METHODS = {
  ...SessionServiceService,
  ...RevocationServiceService,
  ...AdminServiceService,
};
const NAMES = Object.keys(METHODS) as MethodName[];
const CALLERS = [...ROLES, "none"] as const;
const TENANTS = ["match", "mismatch"] as const;

type Cell = readonly [
  method: MethodName,
  role: (typeof CALLERS)[number],
  tenant: (typeof TENANTS)[number],
];

const CELLS: Cell[] = NAMES.flatMap((method) =>
  CALLERS.flatMap((role) => TENANTS.map((tenant): Cell => [method, role, tenant])),
);

/** What a call came to. */
interface Answer {
  readonly code: string;
  readonly reason: string;
  readonly bytes: Buffer;
}

const keys = new Map<string, string>();
let configuration: ConfigurationOnDisk;
let authority: Authority;
let client: Client;

beforeAll(async () => {
  const callers = ROLES.flatMap((role): TestCaller[] => [
    { name: `${role}-of-acme`, roles: [role], tenants: ["acme"], key: newServiceKey() },
    { name: `${role}-of-all`, roles: [role], tenants: "*", key: newServiceKey() },
  ]);
  callers.push({ name: "root", roles: ROLES, tenants: "*", key: newServiceKey() });
  for (const { name, key } of callers) keys.set(name, String(key));
  configuration = new ConfigurationOnDisk({
    ...callersSection(callers),
    policies: { bound: { binding: { ip_address: "enforce" } } },
  });
  authority = await createAuthority({ configurationPath: configuration.path });
  client = new Client(authority.address, credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await authority.close();
  configuration.remove();
});

describe("the table of methods and roles", () => {
  it("has a row for every method of the contract and no other", () => {
    expect(Object.keys(ACCESS).sort()).toEqual([...NAMES].sort());
    for (const name of NAMES) {
      expect(accessOf(METHODS[name].path)).toBe(ACCESS[name]);
    }
  });

  it("opens every method to somebody and none to everybody", () => {
    for (const { roles } of Object.values(ACCESS)) {
      expect(roles.length).toBeGreaterThan(0);
      expect(new Set<string>(roles).size).toBeLessThan(ROLES.length);
    }
  });

  it("is the one that server/README.md shows", () => {
    const readme = readFileSync(new URL("../../server/README.md", import.meta.url), "utf8");
    const shown = [...readme.matchAll(/^\| `(\w+)` +\| ([a-z, ]+?) +\| `(\w+)` +\|$/gm)];

    const table = NAMES.map((name) => [
      name.charAt(0).toUpperCase() + name.slice(1),
      ACCESS[name].roles.join(", "),
      ACCESS[name].tenants,
    ]);
    expect(shown.map(([, ...cells]) => cells).sort()).toEqual(table.sort());
  });

  it("has no cell that is not tested", () => {
    expect(CELLS).toHaveLength(NAMES.length * 6 * 2);
    expect(CELLS.length).toBeGreaterThanOrEqual(200);
  });
});

describe("a call", () => {
  it.each(CELLS)("%s by %s with a tenant that is a %s", async (method, role, tenant) => {
    const row = ACCESS[method];
    const isDeployment = row.tenants === "deployment";
    // What is about every tenant matches a caller of every tenant and no other.
    const scope = isDeployment && tenant === "match" ? "all" : "acme";
    const request = await requestFor(method, isDeployment ? "acme" : tenantId(tenant));

    const answer = await call(method, request, keys.get(`${role}-of-${scope}`));

    if (role === "none") {
      expect(answer).toMatchObject({ code: "UNAUTHENTICATED", reason: "CALLER_UNKNOWN" });
    } else if (!(row.roles as readonly string[]).includes(role)) {
      expect(answer).toMatchObject(NOT_ALLOWED);
    } else if (tenant === "match") {
      expect(answer.code).toMatch(/^(OK|UNIMPLEMENTED)$/);
    } else {
      expectNothing(method, answer);
    }
  });

  it("that asks for the audit of every tenant is refused to a caller of one", async () => {
    const request = ListAuditEventsRequest.create();

    expect(await call("listAuditEvents", request, keys.get("auditor-of-acme"))).toMatchObject(
      NOT_ALLOWED,
    );
  });

  // A cell is passed by the very tenant or not at all: nothing that looks like it, or like none.
  const LOOKALIKES = ["", "ACME", "Acme", " acme", "acme ", "acme\0", "acme\n", "acme,globex", "*",
    "\u0430cme", "acm\u0065\u0301", "\uff41cme", "ac\u200dme", "acme\ufffd", "__proto__"]; // prettier-ignore
  const NAMING = NAMES.filter((name) =>
    ["field", "optional", "filter"].includes(ACCESS[name].tenants),
  );

  it.each(NAMING)("%s of a tenant that only looks like the caller's is refused", async (method) => {
    const request = await requestFor(method, "acme");
    const role = ACCESS[method].roles[0] ?? "none";

    // No tenant at all in a filter means all that are the caller's, as tested above.
    for (const lookalike of LOOKALIKES) {
      const disguised = { ...request, tenantId: lookalike, tenantIds: [lookalike] };
      expect(await call(method, disguised, keys.get(`${role}-of-acme`))).toMatchObject(NOT_ALLOWED);
    }
  });

  it("with an item of a tenant that only looks like the caller's fails for that item", async () => {
    const { token } = await newSession("acme", "lookalike");
    const items = LOOKALIKES.map((tenantId) => ValidateSessionRequest.create({ tenantId, token }));

    const { bytes } = await call("batchValidateSessions", { items }, keys.get("validator-of-acme"));

    for (const { result } of BatchValidateSessionsResponse.decode(bytes).items) {
      expect(result).toMatchObject({
        $case: "status",
        value: { code: GrpcCode.PERMISSION_DENIED },
      });
    }
  });

  it("with a field twice is judged by the one that it acts on", async () => {
    const { token } = await newSession("globex", "twice");
    const [own, foreign] = ["acme", "globex"].map((tenantId) =>
      Buffer.from(
        ValidateSessionRequest.encode(ValidateSessionRequest.create({ tenantId })).finish(),
      ),
    ) as [Buffer, Buffer];
    const rest = Buffer.from(
      ValidateSessionRequest.encode(ValidateSessionRequest.create({ token })).finish(),
    );
    async function validate(...parts: Buffer[]): Promise<Answer> {
      const path = METHODS.validateSession.path;
      return await sendBytes(path, Buffer.concat(parts), bearer(keys.get("validator-of-acme")));
    }

    expect(await validate(own, foreign, rest)).toMatchObject(NOT_ALLOWED);
    expect(await validate(own, rest, foreign)).toMatchObject(NOT_ALLOWED);
    const { bytes } = await validate(foreign, own, rest);
    expect(ValidateSessionResponse.decode(bytes)).toMatchObject({
      outcome: ValidationOutcome.NOT_FOUND,
      session: undefined,
    });
  });

  it.each([
    "/coatcheck.v1.SessionService/validatesession",
    "/coatcheck.v1.SessionService/ValidateSession/",
    "/coatcheck.v1.SessionService//ValidateSession",
    "/COATCHECK.V1.SessionService/ValidateSession",
    "/coatcheck.v1.SessionService/%56alidateSession",
    "/coatcheck.v1.SessionService/constructor",
  ])("to %s is one to no method", async (path) => {
    const answer = await sendBytes(path, Buffer.alloc(0), bearer(keys.get("root")));

    expect(answer.code).toBe("UNIMPLEMENTED");
  });

  it("that names its own tenant beside a foreign one is refused", async () => {
    const tenantIds = ["acme", "globex"];
    const requests = {
      watchRevocations: WatchRevocationsRequest.create({ tenantIds }),
      syncRevocations: SyncRevocationsRequest.create({ tenantIds }),
    };

    for (const method of ["watchRevocations", "syncRevocations"] as const) {
      const answer = await call(method, requests[method], keys.get("validator-of-acme"));
      expect(answer).toMatchObject(NOT_ALLOWED);
    }
  });

  it.each(["", "Basic eDp5", "Bearer", "Bearer short"])(
    "with the authorization %j comes from nobody",
    async (value) => {
      const metadata = bearer(undefined);
      if (value !== "") metadata.set("authorization", value);

      expect(await send("getStats", GetStatsRequest.create(), metadata)).toMatchObject({
        code: "UNAUTHENTICATED",
        reason: "CALLER_UNKNOWN",
      });
    },
  );

  it("with a key that differs in its last character comes from nobody", async () => {
    const key = String(keys.get("admin-of-all"));
    const wrong = key.slice(0, -1) + (key.endsWith("A") ? "Q" : "A");

    expect(await call("getStats", GetStatsRequest.create(), wrong)).toMatchObject({
      reason: "CALLER_UNKNOWN",
    });
  });

  it("is not believed about who makes it (S-32)", async () => {
    const metadata = bearer(keys.get("validator-of-acme"));
    const forged = {
      forwarded: 'for="admin-of-all";by=127.0.0.1',
      "x-forwarded-client-cert": "URI=spiffe://example.org/admin;Hash=00",
      "x-forwarded-for": "127.0.0.1",
      "x-real-ip": "127.0.0.1",
      "x-ssl-client-s-dn": "CN=admin-of-all",
      "ssl-client-verify": "SUCCESS",
      "proxy-authorization": `Bearer ${String(keys.get("admin-of-all"))}`,
      "x-caller": "admin-of-all",
      "x-tenant-id": "globex",
    };
    for (const [header, value] of Object.entries(forged)) metadata.set(header, value);

    expect(await send("getStats", GetStatsRequest.create(), metadata)).toMatchObject(NOT_ALLOWED);
    const foreign = await requestFor("validateSession", "globex");
    expect(await send("validateSession", foreign, metadata)).toMatchObject(NOT_ALLOWED);
    metadata.remove("authorization");
    expect(await send("validateSession", foreign, metadata)).toMatchObject({
      reason: "CALLER_UNKNOWN",
    });
  });

  it("from another device than the session's is refused and recorded, whatever a proxy says (S-31, S-32)", async () => {
    const binding = { ipAddress: "192.0.2.1", userAgent: "", deviceId: "" };
    const created = CreateSessionRequest.create({
      tenantId: "acme",
      subject: "bound",
      policy: "bound",
      device: { id: "", name: "", ipAddress: "192.0.2.1", userAgent: "" },
    });
    const { bytes } = await call("createSession", created, keys.get("root"));
    const { token } = SessionServiceService.createSession.responseDeserialize(bytes);
    async function outcome(ipAddress: string, forwarded: string): Promise<ValidationOutcome> {
      const metadata = bearer(keys.get("validator-of-acme"));
      metadata.set("x-forwarded-for", forwarded);
      const request = ValidateSessionRequest.create({
        tenantId: "acme",
        token,
        binding: { ...binding, ipAddress },
      });
      const answer = await send("validateSession", request, metadata);
      return ValidateSessionResponse.decode(answer.bytes).outcome;
    }

    expect(await outcome("192.0.2.1", "203.0.113.9")).toBe(ValidationOutcome.VALID);
    expect(await outcome("203.0.113.9", "192.0.2.1")).toBe(ValidationOutcome.BINDING_MISMATCH);
    expect(await outcome("", "192.0.2.1")).toBe(ValidationOutcome.BINDING_MISMATCH);

    const items = ["192.0.2.1", "203.0.113.9"].map((ipAddress) =>
      ValidateSessionRequest.create({
        tenantId: "acme",
        token,
        binding: { ...binding, ipAddress },
      }),
    );
    await call("batchValidateSessions", { items }, keys.get("validator-of-acme"));
    const { session } = SessionServiceService.createSession.responseDeserialize(bytes);
    const sessionId = session?.sessionId ?? "";
    const listing = ListAuditEventsRequest.create({ tenantId: "acme", sessionId });
    async function recorded(): Promise<object[]> {
      const answer = await call("listAuditEvents", listing, keys.get("auditor-of-acme"));
      const { events } = ListAuditEventsResponse.decode(answer.bytes);
      return events.filter(({ method }) => method.includes("Validate"));
    }
    const service = "coatcheck.v1.SessionService";
    const told = {
      caller: "validator-of-acme",
      tenantId: "acme",
      sessionId,
      reasonAdmin: "BINDING_MISMATCH",
      statusCode: 0,
    };
    await eventually(async () => (await recorded()).length === 3);
    expect(await recorded()).toMatchObject(
      ["BatchValidateSessions", "ValidateSession", "ValidateSession"].map((method) => ({
        ...told,
        method: `${service}/${method}`,
      })),
    );
  });
});

const NOT_ALLOWED = { code: "PERMISSION_DENIED", reason: "CALLER_NOT_ALLOWED" };

function tenantId(tenant: "match" | "mismatch"): string {
  return tenant === "match" ? "acme" : "globex";
}

/** What a caller with the role is told of a tenant that is not its own. */
function expectNothing(method: MethodName, { code, reason, bytes }: Answer): void {
  switch (method) {
    case "batchValidateSessions": {
      const [item] = BatchValidateSessionsResponse.decode(bytes).items;
      expect(item?.result).toMatchObject({
        $case: "status",
        value: { code: GrpcCode.PERMISSION_DENIED },
      });
      return;
    }
    case "touchSessions":
      expect(TouchSessionsResponse.decode(bytes).outcomes).toEqual([ValidationOutcome.NOT_FOUND]);
      return;
    case "rotateSession":
      expect(RotateSessionResponse.decode(bytes)).toMatchObject({
        outcome: ValidationOutcome.NOT_FOUND,
        token: "",
        session: undefined,
      });
      return;
    case "revokeSession":
      expect(RevokeSessionResponse.decode(bytes).found).toBe(false);
      return;
    case "getSession":
    case "updateSession":
      expect({ code, reason }).toEqual({ code: "NOT_FOUND", reason: "SESSION_NOT_FOUND" });
      return;
    case "recoverSession":
      // The contract has it and this server does not: it can tell nobody anything.
      expect(code).toMatch(/^(OK|UNIMPLEMENTED)$/);
      return;
    case "createSession":
    case "validateSession":
    case "listSessions":
    case "revokeSubjectSessions":
    case "revokeTenantSessions":
    case "watchRevocations":
    case "syncRevocations":
    case "getStats":
    case "listAuditEvents":
    case "listWatchers":
    case "revokeAllSessions":
    case "setIncidentMode":
      expect({ code, reason }).toEqual(NOT_ALLOWED);
  }
}

let subjects = 0;

/** A request that would succeed for a tenant. */
async function requestFor(method: MethodName, tenant: string): Promise<object> {
  subjects += 1;
  const subject = `subject-${subjects}`;
  const { token, sessionId } = await newSession(tenant, subject);
  const revocation = { reason: RevocationReason.ADMIN };
  const tokenSha256 = createHash("sha256").update(token).digest();
  const requests: Record<MethodName, object> = {
    createSession: CreateSessionRequest.create({ tenantId: tenant, subject }),
    validateSession: ValidateSessionRequest.create({ tenantId: tenant, token }),
    batchValidateSessions: {
      items: [ValidateSessionRequest.create({ tenantId: tenant, token })],
    },
    touchSessions: TouchSessionsRequest.create({ items: [{ sessionId, tokenSha256 }] }),
    getSession: { sessionId },
    listSessions: ListSessionsRequest.create({ tenantId: tenant, subject }),
    updateSession: UpdateSessionRequest.create({ sessionId, set: new Map([["a", "b"]]) }),
    rotateSession: RotateSessionRequest.create({ token, trigger: RotationTrigger.PERIODIC }),
    revokeSession: RevokeSessionRequest.create({
      ...revocation,
      target: { $case: "sessionId", value: sessionId },
    }),
    revokeSubjectSessions: RevokeSubjectSessionsRequest.create({
      ...revocation,
      tenantId: tenant,
      subject,
    }),
    revokeTenantSessions: RevokeTenantSessionsRequest.create({
      ...revocation,
      tenantId: tenant,
      clientId: "nobody",
    }),
    recoverSession: RecoverSessionRequest.create({ recoveryToken: "ccr1_" }),
    watchRevocations: WatchRevocationsRequest.create({ tenantIds: [tenant] }),
    syncRevocations: SyncRevocationsRequest.create({ tenantIds: [tenant] }),
    getStats: GetStatsRequest.create(),
    listAuditEvents: ListAuditEventsRequest.create({ tenantId: tenant }),
    listWatchers: ListWatchersRequest.create(),
    revokeAllSessions: RevokeAllSessionsRequest.create({ ...revocation, confirm: CONFIRM }),
    setIncidentMode: SetIncidentModeRequest.create({
      stopCaching: true,
      lasts: { seconds: 1n, nanos: 0 },
    }),
  };
  return requests[method];
}

const CONFIRM = "revoke all sessions";

async function newSession(
  tenant: string,
  subject: string,
): Promise<{ token: string; sessionId: string }> {
  const request = CreateSessionRequest.create({ tenantId: tenant, subject });
  const { bytes } = await call("createSession", request, keys.get("root"));
  const { token, session } = SessionServiceService.createSession.responseDeserialize(bytes);
  if (session === undefined) throw new Error("No session was created");
  return { token, sessionId: session.sessionId };
}

async function call(method: MethodName, request: object, key: string | undefined): Promise<Answer> {
  return await send(method, request, bearer(key));
}

/** Sends bytes, so that every method is called the same way. */
async function send(
  method: MethodName,
  request: object,
  metadata: ReturnType<typeof bearer>,
): Promise<Answer> {
  const { path, responseStream, requestSerialize } = METHODS[method];
  const serialize = requestSerialize as (value: object) => Buffer;
  const options = { deadline: Date.now() + 20_000 };
  return await new Promise<Answer>((resolve) => {
    function told(error: ServiceError | null, bytes: Buffer = Buffer.alloc(0)): void {
      resolve({ code: "OK", reason: "", ...(error === null ? {} : readFailure(error)), bytes });
    }
    if (responseStream) {
      const stream = client.makeServerStreamRequest(
        path,
        serialize,
        asIs,
        request,
        metadata,
        options,
      );
      stream.once("data", (bytes: Buffer) => {
        told(null, bytes);
        stream.cancel();
      });
      stream.on("error", told);
    } else {
      client.makeUnaryRequest(path, serialize, asIs, request, metadata, options, told);
    }
  });
}

/** Sends a message as it is, to any path. */
async function sendBytes(
  path: string,
  message: Buffer,
  metadata: ReturnType<typeof bearer>,
): Promise<Answer> {
  const options = { deadline: Date.now() + 20_000 };
  return await new Promise<Answer>((resolve) => {
    client.makeUnaryRequest(path, asIs, asIs, message, metadata, options, (error, bytes) => {
      const failed = error === null ? {} : readFailure(error);
      resolve({ code: "OK", reason: "", ...failed, bytes: bytes ?? Buffer.alloc(0) });
    });
  });
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
