// A canary in the message of whatever can be thrown, in every layer: it must not be on the wire
// and not in the log (S-44, I-10).

import {
  GetStatsRequest,
  ListWatchersRequest,
  RotationTrigger,
  SessionServiceService,
  WatchRevocationsRequest,
} from "@coatcheck/proto";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";

import { createAuthority, type Authority } from "#server/server.js";
import type { Store } from "#server/store/store.js";
import { createLog } from "#server/telemetry/logging.js";

import { startChild } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { scrape } from "../support/prometheus.js";
import { invoke, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

const CANARY = "canary-10.0.0.7:6379";

type Layer = "sessions" | "log" | "audit" | "store";

let authority: Authority;
let api: SessionApi;
let logged = "";

/** A store that works until `break` is called, and then throws the canary from one layer. */
async function start(): Promise<{ break: (layer: Layer, thrown: unknown) => void }> {
  logged = "";
  let broken: { readonly layer: Layer; readonly thrown: unknown } | undefined;
  function guard<T extends object>(layer: Layer, target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        // Life-cycle and subscriptions go on: a test has to end.
        if (name === "close" || name === "onNudge") return value.bind(object) as unknown;
        return (...parts: unknown[]): unknown => {
          if (broken?.layer === layer) throw broken.thrown;
          return Reflect.apply(value, object, parts);
        };
      },
    });
  }
  authority = await createAuthority({
    metricsListen: { host: "127.0.0.1", port: 0 },
    log: createLog("debug", { write: (line) => void (logged += line) }),
    createStore: (options): Store => {
      const store = storeUnderTest.create(options);
      const parts = {
        sessions: guard("sessions", store.sessions),
        log: guard("log", store.log),
        audit: guard("audit", store.audit),
      };
      const whole = guard("store", store);
      return new Proxy(whole, {
        get: (object, name): unknown =>
          name === "sessions" || name === "log" || name === "audit"
            ? parts[name]
            : Reflect.get(object, name),
      });
    },
  });
  api = new SessionApi(authority.address);
  return {
    break: (layer, thrown) => {
      broken = { layer, thrown };
    },
  };
}

afterEach(async () => {
  api.close();
  await authority.close();
});

/** Every RPC that asks a store for something. What came back, as text, and whether it failed. */
async function callEverything(token: string, sessionId: string): Promise<string[]> {
  const calls: (() => Promise<unknown>)[] = [
    () => api.create({ subject: "bob" }),
    () => api.validate(token),
    () => api.batch([{ token }]),
    () =>
      api.touch([{ sessionId, tokenSha256: Buffer.alloc(32), idleFor: { seconds: 1n, nanos: 0 } }]),
    () => api.get(sessionId),
    () => api.list(),
    () => api.update({ sessionId, set: new Map([["a", "b"]]) }),
    () => api.rotate({ token, trigger: RotationTrigger.PERIODIC }),
    () => api.rotate({ token, trigger: RotationTrigger.LOGIN, bindSubject: "carol" }),
    () => api.revoke({ target: { $case: "sessionId", value: sessionId } }),
    () => api.revokeSubject(),
    () => api.revokeSubject({ scope: { $case: "deviceId", value: "d" } }),
    () => api.sync(),
    () => watch(),
    () => invoke(api.admin.getStats.bind(api.admin), GetStatsRequest.create()),
    () => invoke(api.admin.listWatchers.bind(api.admin), ListWatchersRequest.create()),
  ];
  const told: string[] = [];
  for (const call of calls) told.push(await call().then(answerText, errorText));
  return told;
}

const LAYERS: readonly (readonly [layer: Layer, failuresMin: number])[] = [
  ["sessions", 11],
  ["log", 2],
  ["audit", 0],
  ["store", 0],
];

/** What may be thrown: errors of all sorts, and things that are none. */
const THROWN: readonly (readonly [name: string, thrown: unknown])[] = [
  ["an Error", new Error(CANARY)],
  ["a RangeError with a cause", new RangeError(CANARY, { cause: new Error(CANARY) })],
  ["an error with fields", Object.assign(new Error("x"), { command: { args: [CANARY] } })],
  ["an error with a name", Object.assign(new Error("x"), { name: CANARY })],
  ["a text", CANARY],
  ["an object", { message: CANARY, code: 3, details: CANARY }],
];

describe.each(LAYERS)("what the layer %s throws", (layer, failuresMin) => {
  it.each(THROWN)("is not told where it is %s", async (_name, thrown) => {
    const store = await start();
    const { token, session } = await api.create();

    store.break(layer, thrown);
    const told = await callEverything(token, session?.sessionId ?? "");
    const metrics = await scrape(authority.metricsAddress ?? "");

    expect(told.filter((text) => text.startsWith("failed")).length).toBeGreaterThanOrEqual(
      failuresMin,
    );
    expect(told.join("\n")).not.toContain(CANARY);
    expect(metrics.text).not.toContain(CANARY);
    expect(logged).not.toContain(CANARY);
  });
});

describe("a request that is no message", () => {
  it("is refused without a word of what was in it", async () => {
    await start();
    const { token } = await api.create();

    const told = await Promise.all(
      [
        Buffer.from(token),
        Buffer.concat([Buffer.from([0x12, 0xff, 0x7f]), Buffer.from(token)]),
        Buffer.concat([Buffer.from([0x12, 0x4d]), Buffer.from(token), Buffer.from([0x0f])]),
      ].map(sendRaw),
    );

    expect(told.every((text) => text.startsWith("failed"))).toBe(true);
    expect(told.join("\n")).not.toContain(token.slice(28, 71));
    expect(logged).not.toContain(token.slice(28, 71));
  });
});

describe("an error that nobody caught", () => {
  it.each([
    ["an error", "throw new Error(process.env.CANARY)"],
    ["a rejection", "Promise.reject(new Error(process.env.CANARY))"],
    ["an error with a name", "throw Object.assign(new Error('x'), { name: process.env.CANARY })"],
    ["no error", "throw process.env.CANARY"],
  ])("ends the process with 1 and is not printed where it is %s", async (_name, statement) => {
    await start();
    const preload = `process.once("SIGUSR2", () => { ${statement}; });`;
    const child = startChild("server/src/main.ts", {
      env: {
        COATCHECK_LISTEN: `127.0.0.1:${await freePort()}`,
        COATCHECK_LOG_LEVEL: "debug",
        CANARY,
      },
      nodeArgs: [`--import=data:text/javascript,${encodeURIComponent(preload)}`],
    });
    await child.waitForLine(/listens on/);

    const { code } = await child.kill("SIGUSR2");

    expect(code).toBe(1);
    expect(child.stderr).toContain("stopping: an error was not caught");
    expect(child.stdout + child.stderr).not.toContain(CANARY);
  });
});

async function watch(): Promise<never> {
  return await new Promise<never>((_resolve, reject) => {
    const stream = api.revocations.watchRevocations(
      WatchRevocationsRequest.create({ clientName: "test" }),
    );
    stream.on("error", reject);
    stream.once("data", () => {
      stream.cancel();
    });
  });
}

async function sendRaw(bytes: Buffer): Promise<string> {
  const client = new Client(authority.address, credentials.createInsecure());
  try {
    return await new Promise<string>((resolve) => {
      client.makeUnaryRequest(
        SessionServiceService.validateSession.path,
        (value: Buffer) => value,
        (value) => value,
        bytes,
        (error, reply) => {
          resolve(error === null ? answerText(reply) : errorText(error));
        },
      );
    });
  } finally {
    client.close();
  }
}

function answerText(answer: unknown): string {
  const text = JSON.stringify(answer, (_key, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  // An item of a batch fails alone, within an answer.
  return text.includes('"status"') ? `failed ${text}` : text;
}

function errorText(error: unknown): string {
  const { details, metadata, code } = error as ServiceError;
  const trailers = metadata
    .get("grpc-status-details-bin")
    .map((each) => Buffer.from(each).toString("latin1"));
  return ["failed", code, details, JSON.stringify(metadata.getMap()), ...trailers].join(" ");
}
