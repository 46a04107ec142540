import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  CreateSessionRequest,
  ListSessionsRequest,
  RevocationServiceClient,
  RevocationReason,
  RevokeSessionRequest,
  RotationTrigger,
  SessionServiceClient,
  TouchSessionsRequest,
  ValidateSessionRequest,
  ValidationOutcome,
  WatchRevocationsRequest,
} from "@coatcheck/proto";
import { type ClientOptions, credentials, InterceptingCall } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, type AuthorityOptions, createAuthority } from "#server/server.js";
import { formatToken, mintSessionId, randomSecret } from "#server/session/token.js";

import { eventually } from "../support/eventually.js";
import { heapBytes } from "../support/heap-bytes.js";
import { createService } from "../support/services.js";
import { type Failure, failure, invoke, readDetails, SessionApi } from "../support/session-api.js";
import { wrappedStore } from "../support/wrapped-store.js";
import { TestWatch } from "./watch-client.js";

// So long that no test sees its end.
const rateWindowMs = 3_600_000;

let folder: string;
const closers: (() => Promise<void> | void)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coatcheck-limits-"));
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true });
});

async function start(options: AuthorityOptions = {}): Promise<Authority> {
  const authority = await createAuthority(options);
  closers.push(() => authority.close());
  return authority;
}

/** The address of a configuration file with this text. */
function file(text: string): string {
  const path = join(folder, "coatcheck.yaml");
  writeFileSync(path, text);
  return path;
}

/** A service key and its hash. */
function makeKey(): { readonly key: string; readonly hash: string } {
  const key = randomBytes(32).toString("hex");
  return { key, hash: `sha256:${createHash("sha256").update(key).digest("hex")}` };
}

/** Brings a service key with every call, on a connection of its own. */
function withKey(key: string): Partial<ClientOptions> {
  return {
    "grpc.use_local_subchannel_pool": 1,
    interceptors: [
      (options, next) =>
        new InterceptingCall(next(options), {
          start: (metadata, listener, proceed) => {
            metadata.set("authorization", `Bearer ${key}`);
            proceed(metadata, listener);
          },
        }),
    ],
  };
}

function connect(address: string): SessionApi {
  const api = new SessionApi(address);
  closers.push(() => {
    api.close();
  });
  return api;
}

function client(address: string, options: Partial<ClientOptions> = {}): SessionServiceClient {
  const made = new SessionServiceClient(address, credentials.createInsecure(), options);
  closers.push(() => {
    made.close();
  });
  return made;
}

function expectRetryInfo(told: Failure, maxMs: number): void {
  expect(told.code).toBe("RESOURCE_EXHAUSTED");
  expect(told.retryAfterMs).toBeGreaterThan(0);
  expect(told.retryAfterMs).toBeLessThanOrEqual(maxMs);
}

describe("a flood from one caller at ten times its limit (S-39)", () => {
  it("is refused at the limit, leaves other callers alone, and may still revoke", async () => {
    const [greedy, modest] = [makeKey(), makeKey()];
    const { address } = await start({
      configurationPath: file(`
callers:
  - { name: greedy, roles: [issuer, validator, revoker], tenants: "*", service_key_hashes: ["${greedy.hash}"] }
  - { name: modest, roles: [issuer, validator, revoker], tenants: "*", service_key_hashes: ["${modest.hash}"] }
limits:
  creates_per_caller_max: 50
  creates_per_subject_max: 0
  misses_per_caller_max: 50
  calls_per_caller_max: 64
  rate_window: 1h
`),
    });
    const flood = client(address, withKey(greedy.key));
    const calm = client(address, withKey(modest.key));
    async function create(from: SessionServiceClient, subject: string) {
      const request = CreateSessionRequest.create({ tenantId: "acme", subject });
      return await invoke(from.createSession.bind(from), request);
    }
    async function validate(from: SessionServiceClient, token: string) {
      const request = ValidateSessionRequest.create({ tenantId: "acme", token });
      return await invoke(from.validateSession.bind(from), request);
    }
    const kept = await create(flood, "greedy");

    const floods = Array.from({ length: 500 }, (_, number) => create(flood, `subject-${number}`));
    const others: Promise<ValidationOutcome>[] = Array.from({ length: 40 }, async (_, number) => {
      const { token } = await create(calm, `modest-${number}`);
      return (await validate(calm, token)).outcome;
    });
    const revoked = invoke(
      flood.revokeSession.bind(flood),
      RevokeSessionRequest.create({
        target: { $case: "sessionId", value: kept.session?.sessionId ?? "" },
        reason: RevocationReason.USER_LOGOUT,
      }),
    );

    const results = await Promise.allSettled(floods);
    const refused = results.filter(({ status }) => status === "rejected");
    expect(await Promise.all(others)).toEqual(others.map(() => ValidationOutcome.VALID));
    expect((await revoked).found).toBe(true);
    // Some are refused for what was in flight, the rest at the limit.
    expect(results.length - refused.length).toBeLessThanOrEqual(49);
    await fillUp(() => create(flood, "last"));
    expectRetryInfo(await failure(create(flood, "late")), rateWindowMs);
    expect(await failure(create(flood, "late"))).toMatchObject({
      reason: "RATE_LIMITED",
      metadata: { limit: "creates_per_caller_max", bound: "50" },
    });
    expect((await create(calm, "after")).token).not.toBe("");
  });

  // The slots of subjects and sessions fill first, to their number: rate-limits.test.ts floods them.
  it("leaves the memory as it was (S-39)", async () => {
    const greedy = makeKey();
    const { address } = await start({
      configurationPath: file(`
callers:
  - { name: greedy, roles: [issuer, validator], tenants: "*", service_key_hashes: ["${greedy.hash}"] }
limits:
  creates_per_caller_max: 50
  creates_per_subject_max: 0
  misses_per_caller_max: 50
  misses_per_session_max: 0
  rate_window: 1h
`),
    });
    const from = client(address, withKey(greedy.key));
    let refused = 0;
    /** 500 creations and 500 wrong tokens, ten times what a window allows. */
    async function flood(): Promise<void> {
      for (let batch = 0; batch < 10; batch += 1) {
        const calls = Array.from({ length: 50 }, () => {
          const subject = randomBytes(100).toString("hex");
          const token = formatToken(mintSessionId(0), randomSecret());
          return [
            invoke(
              from.createSession.bind(from),
              CreateSessionRequest.create({ tenantId: "acme", subject }),
            ),
            invoke(
              from.validateSession.bind(from),
              ValidateSessionRequest.create({ tenantId: "acme", token }),
            ),
          ];
        });
        const settled = await Promise.allSettled(calls.flat());
        refused += settled.filter(({ status }) => status === "rejected").length;
      }
    }
    await flood();
    await flood();
    const before = await heapBytes();
    refused = 0;

    for (let round = 0; round < 8; round += 1) await flood();

    expect(refused).toBe(8_000);
    // A subject and a session id for each of 4,000 would be 3 MB.
    expect((await heapBytes()) - before).toBeLessThan(1_500_000);
  }, 60_000);

  /** Calls until it is refused. */
  async function fillUp(call: () => Promise<unknown>): Promise<void> {
    for (let count = 0; count < 100; count += 1) {
      const isRefused = await call().then(
        () => false,
        () => true,
      );
      if (isRefused) return;
    }
    throw new Error("nothing was refused");
  }
});

describe("creations", () => {
  it("of one subject are refused above the limit, logins included, others' are not", async () => {
    const { address } = await start({ limits: { createsPerSubjectMax: 3, rateWindowMs } });
    const api = connect(address);
    const { token } = await api.create({ subject: "" });
    for (let count = 0; count < 3; count += 1) await api.create({ subject: "alice" });

    const login = {
      token,
      trigger: RotationTrigger.LOGIN,
      bindSubject: "alice",
    };
    const told = [
      await failure(api.create({ subject: "alice" })),
      await failure(api.rotate(login)),
    ];

    for (const refused of told) {
      expectRetryInfo(refused, rateWindowMs);
      expect(refused).toMatchObject({
        reason: "RATE_LIMITED",
        metadata: { limit: "creates_per_subject_max", bound: "3" },
      });
    }
    expect((await api.rotate({ ...login, bindSubject: "bob" })).token).not.toBe("");
    expect((await api.create({ tenantId: "globex", subject: "alice" })).token).not.toBe("");
  });

  it("are not limited for local callers where nothing is configured", async () => {
    const api = connect((await start()).address);

    const created = await Promise.all(
      Array.from({ length: 200 }, () => api.create({ subject: "alice" })),
    );

    expect(created.filter(({ token }) => token !== "")).toHaveLength(200);
  });
});

describe("misses", () => {
  it("above the limit are refused in place of the answer; the right token is answered", async () => {
    const { address } = await start({ limits: { missesPerSessionMax: 2, rateWindowMs } });
    const api = connect(address);
    const { token } = await api.create();
    const stranger = await api.create({ tenantId: "globex" });
    // The right session id with a secret that is not its own has to be asked for.
    for (let count = 0; count < 2; count += 1) {
      expect((await api.validate(stranger.token)).outcome).toBe(ValidationOutcome.NOT_FOUND);
    }

    const told = await failure(api.validate(stranger.token));
    const batch = await api.batch([{ token }, { token: stranger.token }]);

    expectRetryInfo(told, rateWindowMs);
    expect(told).toMatchObject({
      reason: "RATE_LIMITED",
      metadata: { limit: "misses_per_session_max" },
    });
    expect(
      batch.items.map(({ result }) =>
        result?.$case === "status" ? readDetails(result.value).reason : result?.$case,
      ),
    ).toEqual(["response", "RATE_LIMITED"]);
    expect((await api.validate(token)).outcome).toBe(ValidationOutcome.VALID);
    expect((await api.validate(stranger.token, { tenantId: "globex" })).outcome).toBe(
      ValidationOutcome.VALID,
    );
    expect((await api.validate("garbage")).outcome).toBe(ValidationOutcome.MALFORMED);
  });
});

describe("watches", () => {
  it("of one address are refused above the limit, until one ends (S-40)", async () => {
    const { address } = await start({ limits: { streamsPerPeerMax: 2 } });
    const revocations = new RevocationServiceClient(address, credentials.createInsecure());
    closers.push(() => {
      revocations.close();
    });
    function watch(): TestWatch {
      return new TestWatch(
        revocations.watchRevocations(WatchRevocationsRequest.create({ clientName: "test" })),
      );
    }
    const [first, second] = [watch(), watch()];
    await eventually(() => first.messages.length > 0 && second.messages.length > 0);

    const third = watch();
    await third.ended;
    expect(third.refusal).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_WATCHERS",
    });

    first.call.cancel();
    await first.ended;
    await eventually(async () => {
      const again = watch();
      await eventually(() => again.messages.length > 0 || again.refusal !== undefined);
      return again.refusal === undefined;
    });
    second.call.cancel();
  });
});

describe("connections", () => {
  it("above the limit are closed at once, and the others go on (S-40)", async () => {
    const { address } = await start({ limits: { connectionsMax: 2 } });
    const [first, second] = [connect(address), connect(address)];
    const { token } = await first.create();
    await second.validate(token);

    const third = connectHttp2(`http://${address}`);
    third.on("error", () => undefined);
    await new Promise((resolve) => third.once("close", resolve));

    expect((await first.validate(token)).outcome).toBe(ValidationOutcome.VALID);
    expect((await second.validate(token)).outcome).toBe(ValidationOutcome.VALID);
  });
});

describe("a request", () => {
  it("is taken up to the limit in bytes and refused above it (S-40)", async () => {
    const limit = 131_072;
    const { address } = await start({ limits: { receiveBytesMax: limit } });
    const api = connect(address);
    const empty = ListSessionsRequest.encode(
      ListSessionsRequest.create({ tenantId: "a", pageToken: "x".repeat(20_000) }),
    ).finish().length;
    function token(bytes: number): string {
      return "x".repeat(20_000 + bytes - empty);
    }

    const taken = await failure(api.list({ tenantId: "a", subject: "", pageToken: token(limit) }));
    const refused = await failure(
      api.list({ tenantId: "a", subject: "", pageToken: token(limit + 1) }),
    );

    expect(taken.code).toBe("INVALID_ARGUMENT");
    expect(refused.code).toBe("RESOURCE_EXHAUSTED");
  });
});

describe("a replica whose store is slow", () => {
  let open: () => void;
  let opened: Promise<void>;
  let waiting: number;

  beforeEach(() => {
    waiting = 0;
    held = [];
    opened = new Promise((resolve) => (open = resolve));
  });

  /** A replica for 16 calls at once, whose store answers when the test says so. */
  async function startSlow(): Promise<{ readonly api: SessionApi; readonly address: string }> {
    const { address } = await start({
      limits: { callsInFlightMax: 16 },
      createStore: wrappedStore({
        before: async () => {
          waiting += 1;
          await opened;
        },
      }),
    });
    return { api: connect(address), address };
  }

  let held: Promise<unknown>[];

  /** Brings the calls that wait for the store to a number, with calls that are shed last. */
  async function fill(api: SessionApi, count: number): Promise<void> {
    while (held.length < count) held.push(api.revokeSubject());
    await eventually(() => waiting === count);
  }

  it("sheds List, Create, Touch and Validate in this order, and Revoke when nothing fits", async () => {
    const { api } = await startSlow();
    const token = formatToken(`00${"A".repeat(22)}`, "B".repeat(43));
    const probes: readonly (readonly [number, string, () => Promise<unknown>])[] = [
      [8, "list", () => api.list()],
      [10, "create", () => api.create()],
      [12, "touch", () => invoke(api.client.touchSessions.bind(api.client), touches())],
      [14, "validate", () => api.validate(token)],
      [16, "revoke", () => api.revokeSubject()],
    ];

    const order: string[] = [];
    for (const [count, name, call] of probes) {
      await fill(api, count);
      const told = await failure(call());
      expectRetryInfo(told, 750);
      expect(told).toMatchObject({ reason: "OVERLOADED", metadata: { shed: name } });
      order.push(name);
    }

    expect(order).toEqual(["list", "create", "touch", "validate", "revoke"]);
    open();
    await Promise.all(held);
    expect((await api.list()).sessions).toEqual([]);
    expect((await api.create()).token).not.toBe("");
  });

  it("admits each of them one call earlier", async () => {
    const { api } = await startSlow();
    const calls: readonly (readonly [number, () => Promise<unknown>])[] = [
      [8, () => api.list()],
      [10, () => api.create()],
      [12, () => invoke(api.client.touchSessions.bind(api.client), touches())],
      [16, () => api.revokeSubject()],
    ];

    for (const [count, call] of calls) {
      await fill(api, count - 1);
      held.push(call());
      await eventually(() => waiting === count);
    }

    open();
    await expect(Promise.all(held)).resolves.toHaveLength(16);
  });

  it("tells an SDK when to come back, and the SDK its caller", async () => {
    const { api, address } = await startSlow();
    const service = createService(address);
    closers.push(() => service.close());
    await fill(api, 14);

    const answer = await service.validate(formatToken(`00${"A".repeat(22)}`, "B".repeat(43)));

    expect(answer).toMatchObject({ kind: "unavailable", reason: "overloaded" });
    expect(answer.kind === "unavailable" ? answer.retryAfterMs : 0).toBeGreaterThanOrEqual(250);
    open();
    await Promise.all(held);
  });

  function touches(): TouchSessionsRequest {
    return TouchSessionsRequest.create({
      items: [
        {
          sessionId: `00${"A".repeat(22)}`,
          tokenSha256: Buffer.alloc(32),
          idleFor: { seconds: 0n, nanos: 0 },
        },
      ],
    });
  }
});

describe("a tenant of the configuration file", () => {
  it("creates under its own policies only, and up to its cap", async () => {
    const { address } = await start({
      configurationPath: file(`
policies:
  kiosk: { idle_timeout: 1m }
tenants:
  - { id: acme, policies: [kiosk], max_live_sessions: 16 }
`),
    });
    const api = connect(address);

    expect(await failure(api.create())).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "UNKNOWN_POLICY",
    });
    expect((await api.create({ policy: "kiosk" })).session?.policy).toBe("kiosk");
    expect(await failure(api.create({ policy: "kiosk" }))).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "TENANT_LIMIT_REACHED",
    });
    expect((await api.create({ tenantId: "globex" })).token).not.toBe("");

    // Of another partition than alice, for good: its request id decides.
    const { token } = await api.create({ subject: "", policy: "kiosk", requestId: "visitor" });
    const login = { token, trigger: RotationTrigger.LOGIN, bindSubject: "alice" };
    expect((await failure(api.rotate(login))).reason).toBe("TENANT_LIMIT_REACHED");
    expect((await api.validate(token)).outcome).toBe(ValidationOutcome.VALID);
  });
});
