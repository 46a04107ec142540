import { createHash, randomBytes } from "node:crypto";

import {
  RevocationServiceService,
  RotationTrigger,
  Session,
  SessionServiceService,
  ValidationOutcome,
  WatchRevocationsRequest,
} from "@coatcheck/proto";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { silentLog } from "#server/base/log.js";
import { type Authority, createAuthority } from "#server/server.js";
import type { SessionStore } from "#server/store/session-store.js";
import {
  StoreBehindError,
  StoreFullError,
  StoreUnavailableError,
  UnsupportedSchemaError,
} from "#server/store/store-error.js";
import { createLog } from "#server/telemetry/logging.js";

import { eventually } from "../support/eventually.js";
import { failure, readDetails, readFailure, SessionApi } from "../support/session-api.js";
import { type Intercept, wrappedStore } from "../support/wrapped-store.js";

const CANARY = "canary-10.0.0.7:6379";

let authority: Authority;
let api: SessionApi;
let intercept: Intercept;
let sessions: SessionStore;
let calls: string[] = [];
let logged = "";

beforeEach(async () => {
  intercept = {};
  calls = [];
  logged = "";
  const createStore = wrappedStore({
    before: (method) => {
      calls.push(method);
      return intercept.before?.(method);
    },
    after: (method) => intercept.after?.(method),
  });
  authority = await createAuthority({
    createStore: (options) => {
      const store = createStore(options);
      sessions = store.sessions;
      return store;
    },
    policies: { endless: { maxSessionsPerSubject: 0 } },
    log: createLog("debug", { write: (line: string) => void (logged += line) }),
  });
  api = new SessionApi(authority.address);
});

afterEach(async () => {
  api.close();
  await authority.close();
});

describe("an error of the store", () => {
  const cases = [
    [new StoreUnavailableError(CANARY, "no"), "UNAVAILABLE", "STORE_UNAVAILABLE", 100],
    [new StoreUnavailableError(CANARY, "unknown"), "UNAVAILABLE", "STORE_OUTCOME_UNKNOWN", 100],
    [new StoreFullError(CANARY), "RESOURCE_EXHAUSTED", "STORE_FULL", undefined],
    [new StoreBehindError(CANARY), "UNAVAILABLE", "BEHIND", undefined],
    [new UnsupportedSchemaError(CANARY), "UNAVAILABLE", "UNSUPPORTED_SCHEMA", undefined],
    [new TypeError(CANARY), "INTERNAL", "INTERNAL", undefined],
  ] as const;

  it.each(cases)("%s becomes a status with details and without its text (S-44)", async (...row) => {
    const [error, code, reason, retryAfterMs] = row;
    intercept.before = () => {
      throw error;
    };

    const told = await failure(api.create());

    expect(told).toMatchObject({ code, reason, retryAfterMs, domain: "coatcheck" });
    expect(JSON.stringify(told)).not.toContain(CANARY);
    expect(logged).not.toContain(CANARY);
  });

  it("is logged with an id that the caller is given, where nobody knows it", async () => {
    intercept.before = () => {
      throw new TypeError(CANARY);
    };

    const told = await failure(api.create());

    expect(told.metadata["log_id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(logged).toContain(told.metadata["log_id"]);
  });

  it("fails only its partition's items of a batch", async () => {
    const tokens: string[] = [];
    for (const subject of ["a", "b", "c", "d", "e", "f"]) {
      tokens.push((await api.create({ subject })).token);
    }
    let first = true;
    intercept.before = (method) => {
      if (method !== "validateBatch" || !first) return;
      first = false;
      throw new StoreUnavailableError(CANARY, "no");
    };

    const { items } = await api.batch(tokens.map((token) => ({ token })));

    const failed = items.filter(({ result }) => result?.$case === "status");
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThan(items.length);
    for (const { result } of failed) {
      if (result?.$case !== "status") throw new Error("not a status");
      expect(result.value.code).toBe(status.UNAVAILABLE);
      expect(readDetails(result.value)).toMatchObject({ reason: "STORE_UNAVAILABLE" });
    }
  });
});

describe("a token that is none", () => {
  it("is answered without asking the store (S-03)", async () => {
    const { token } = await api.create();
    calls = [];
    const flipped = token.slice(0, 40) + (token[40] === "0" ? "1" : "0") + token.slice(41);

    const outcomes = [
      (await api.validate(flipped)).outcome,
      (await api.validate("")).outcome,
      (await api.rotate({ token: flipped, trigger: RotationTrigger.LOGIN })).outcome,
    ];
    const revoked = await api.revoke({ target: { $case: "token", value: flipped } });
    const { items } = await api.batch([{ token: flipped }]);

    expect(outcomes).toEqual(outcomes.map(() => ValidationOutcome.MALFORMED));
    expect(revoked.found).toBe(false);
    expect(items).toHaveLength(1);
    expect(calls).toEqual([]);
  });

  it("is refused in 10,000 random shapes, and changes nothing", async () => {
    const { token, session } = await api.create();
    calls = [];

    for (let round = 0; round < 40; round += 1) {
      const items = Array.from({ length: 250 }, () => ({ token: garbage(token) }));
      const { items: answers } = await api.batch(items);
      for (const { result } of answers) {
        expect(result?.$case === "response" && result.value.outcome).toBe(
          ValidationOutcome.MALFORMED,
        );
      }
    }

    expect(calls).toEqual([]);
    expect((await api.validate(token)).session?.sessionId).toBe(session?.sessionId);
  }, 60_000);
});

describe("a request that is no message", () => {
  it("is refused in 2,000 random shapes; the server goes on", async () => {
    const raw = new Client(authority.address, credentials.createInsecure());
    const codes = new Set<number>();
    for (let round = 0; round < 40; round += 1) {
      const sent = Array.from({ length: 50 }, (_, size) => send(raw, randomBytes(size + round)));
      for (const code of await Promise.all(sent)) codes.add(code);
    }
    raw.close();

    // Random bytes are now and then a message: its fields are then refused or unknown.
    for (const code of codes) {
      expect([status.OK, status.INVALID_ARGUMENT]).toContain(code);
    }
    expect((await api.create()).token).not.toBe("");
  }, 60_000);

  it("is refused above 256 KiB (S-40)", async () => {
    const attributes = new Map([["k", "x".repeat(300 * 1024)]]);

    expect(await failure(api.create({ attributes }))).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(calls).toEqual([]);
  });

  it("is refused with more than 8 kB of metadata (S-40)", async () => {
    const raw = new Client(authority.address, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set("x-large", "x".repeat(9000));

    expect(await send(raw, Buffer.alloc(0), metadata)).toBe(status.RESOURCE_EXHAUSTED);
    raw.close();
  });

  it("for a stream is refused with more than 8 kB of metadata (S-40)", async () => {
    const metadata = new Metadata();
    metadata.set("x-large", "x".repeat(9000));
    const watch = api.revocations.watchRevocations(WatchRevocationsRequest.create(), metadata);

    const told = await new Promise<ServiceError | "served">((resolve) => {
      watch.on("error", resolve);
      watch.on("data", () => {
        resolve("served");
      });
    });

    expect(told === "served" ? told : readFailure(told)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "OVERLOADED",
    });
    watch.cancel();
  });
});

describe("a call that nobody waits for", () => {
  it("is not started once its deadline has passed", async () => {
    const told = await failure(api.create({}, { deadline: Date.now() - 1 }));

    expect(told.code).toBe("DEADLINE_EXCEEDED");
    expect(calls).toEqual([]);
  });

  it("does not go on to the write when it is cancelled during the read", async () => {
    const { session } = await api.create();
    let release: () => void = () => undefined;
    const reading = new Promise<void>((resolve) => {
      release = resolve;
    });
    calls = [];
    intercept.before = (method) => (method === "read" ? reading : undefined);

    const pending = new Promise((resolve) => {
      const request = {
        sessionId: session?.sessionId ?? "",
        set: new Map([["a", "1"]]),
        remove: [],
        invalidateCaches: false,
        requestId: "",
      };
      const call = api.client.updateSession(request, resolve);
      eventually(() => calls.includes("read")).then(() => {
        call.cancel();
      }, resolve);
    });
    await pending;
    // The server hears of the cancel a moment after the client.
    await eventually(async () => (await api.stats()).uptime !== undefined);
    release();

    await eventually(() => logged.includes("NOT_STARTED"));
    expect(calls).toEqual(["read"]);
  });

  it("has a device revocation stop between batches, and a repeat go on", async () => {
    const device = { id: "lost", name: "", ipAddress: "", userAgent: "" };
    const policies = { default: { maxSessionsPerSubject: 0 } };
    let batches = 0;
    const slow = await createAuthority({
      policies,
      createStore: wrappedStore({
        after: async (method) => {
          if (method !== "revokeDevice") return;
          batches += 1;
          if (batches === 1) await new Promise((resolve) => setTimeout(resolve, 60));
        },
      }),
    });
    const slowApi = new SessionApi(slow.address);
    for (let count = 0; count < 150; count += 1) await slowApi.create({ device });
    const scope = { $case: "deviceId", value: "lost" } as const;
    const request = { scope, requestId: "r" };

    const late = await failure(slowApi.revokeSubject(request, { deadline: Date.now() + 30 }));
    await eventually(() => batches === 1);
    const repeat = await slowApi.revokeSubject(request);

    expect(late.code).toBe("DEADLINE_EXCEEDED");
    expect(repeat.revokedCountEstimate).toBe(150n);
    expect(batches).toBeLessThanOrEqual(3);
    slowApi.close();
    await slow.close();
  });
});

describe("a change that was decided on an expected version", () => {
  it("loses no other change that makes that version after the facts were read", async () => {
    const { session } = await api.create();
    const sessionId = session?.sessionId ?? "";
    let isOvertaken = false;
    const set = new Map([["mine", "1"]]);
    intercept.after = async (method) => {
      if (method !== "read" || isOvertaken) return;
      isOvertaken = true;
      const record = await sessions.read(sessionId);
      const facts = Session.decode(record?.facts ?? Buffer.alloc(0));
      facts.attributes.set("theirs", "1");
      await sessions.update({
        sessionId,
        facts: Buffer.from(Session.encode(facts).finish()),
        expectedVersion: 1,
        invalidateCaches: false,
        request: undefined,
        eventId: "theirs",
      });
    };

    const told = await failure(api.update({ sessionId, set, expectedVersion: 2n }));

    expect(told).toMatchObject({ reason: "VERSION_CONFLICT", metadata: { version: "2" } });
    const after = await api.get(sessionId);
    expect([...(after.session?.attributes.keys() ?? [])]).toEqual(["theirs"]);
  });
});

describe("a failure after the first effect of a call", () => {
  it("of a device revocation never says that nothing was applied (R5)", async () => {
    const device = { id: "lost", name: "", ipAddress: "", userAgent: "" };
    for (let count = 0; count < 150; count += 1) await api.create({ device, policy: "endless" });
    let batches = 0;
    intercept.before = (method) => {
      if (method !== "revokeDevice") return;
      batches += 1;
      if (batches === 2) throw new StoreUnavailableError(CANARY, "no");
    };
    const request = { scope: { $case: "deviceId", value: "lost" }, requestId: "r" } as const;

    const told = await failure(api.revokeSubject(request));

    expect(told).toMatchObject({ code: "UNAVAILABLE", reason: "STORE_OUTCOME_UNKNOWN" });
    expect((await api.revokeSubject(request)).revokedCountEstimate).toBe(150n);
  });
});

describe("a request that is no message of its type", () => {
  it("is INVALID_ARGUMENT with a reason, for a call and for a stream", async () => {
    const told = await Promise.all(
      [SessionServiceService.validateSession, RevocationServiceService.watchRevocations].map(
        async ({ path }) => {
          const client = new Client(authority.address, credentials.createInsecure());
          const error = await new Promise<ServiceError>((resolve) => {
            const call = client.makeServerStreamRequest(
              path,
              (bytes: Buffer) => bytes,
              (bytes: Buffer) => bytes,
              Buffer.from([0x0a, 0xff]),
            );
            call.on("data", () => undefined).on("error", resolve);
          });
          client.close();
          return readFailure(error);
        },
      ),
    );

    for (const refusal of told) {
      expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD" });
    }
  });
});

describe("an unimplemented method", () => {
  it("says so with a reason", async () => {
    const recover = failure(
      new Promise((_, reject) => {
        api.client.recoverSession({ recoveryToken: "", requestId: "" }, reject);
      }),
    );

    expect(await recover).toMatchObject({ code: "UNIMPLEMENTED", reason: "NOT_IMPLEMENTED" });
  });
});

describe("the log", () => {
  it("has no token, digest or secret after a whole life (S-46)", async () => {
    const retrySecret = randomBytes(32);
    const { token } = await api.create({ retrySecret, requestId: "r" });
    await api.validate(token);
    await failure(api.create({ subject: token, aal: 9 }));
    const { token: next } = await api.rotate({ token, trigger: RotationTrigger.LOGIN });
    await api.revoke({ target: { $case: "token", value: next } });
    await failure(api.update({ sessionId: token }));

    const secrets = [token, next].flatMap((text) => [
      text.slice(28, 71),
      createHash("sha256").update(text).digest("hex"),
    ]);
    expect(logged).toContain("INVALID_FIELD");
    for (const secret of [...secrets, retrySecret.toString("hex")]) {
      expect(logged).not.toContain(secret);
    }
  });

  it("redacts what looks like a token, should one ever reach it", () => {
    let line = "";
    const log = createLog("info", { write: (text: string) => void (line += text) });

    log.info({ tenant: "cc1_00abc" }, `lost ccr1_${"0".repeat(73)}`);
    silentLog.info({}, "nothing");

    expect(line).not.toMatch(/ccr?1_/);
    expect(line).toContain("[redacted]");
  });
});

/** A token with something wrong: random text, random bytes, or a mutation of a good one. */
function garbage(token: string): string {
  const kind = Math.floor(Math.random() * 4);
  if (kind === 0) return randomBytes(40).toString("latin1");
  if (kind === 1) return token.slice(0, Math.floor(Math.random() * token.length));
  if (kind === 2) return token + randomBytes(2).toString("hex");
  const at = Math.floor(Math.random() * token.length);
  const other = token[at] === "z" ? "y" : "z";
  return token.slice(0, at) + other + token.slice(at + 1);
}

/** Sends bytes as a CreateSession and returns the status code. */
async function send(client: Client, bytes: Buffer, metadata = new Metadata()): Promise<number> {
  return await new Promise<number>((resolve) => {
    client.makeUnaryRequest(
      SessionServiceService.createSession.path,
      (value: Buffer) => value,
      (value) => value,
      bytes,
      metadata,
      { deadline: Date.now() + 20_000 },
      (error) => {
        resolve(error?.code ?? status.OK);
      },
    );
  });
}
