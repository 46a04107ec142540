// What somebody can do who speaks HTTP/2 and no more, S-40, S-41.

import { connect, type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { gzipSync } from "node:zlib";

import {
  ListAuditEventsRequest,
  ValidateSessionRequest,
  ValidationOutcome,
  WatchRevocationsRequest,
} from "@coatcheck/proto";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import { callersSection, ConfigurationOnDisk, newServiceKey } from "../support/callers.js";
import { eventually } from "../support/eventually.js";
import { heapBytes } from "../support/heap-bytes.js";
import { invoke, SessionApi } from "../support/session-api.js";
import { wrappedStore } from "../support/wrapped-store.js";

const VALIDATE = "/coatcheck.v1.SessionService/ValidateSession";
const WATCH = "/coatcheck.v1.RevocationService/WatchRevocations";

let authority: Authority;
let api: SessionApi;
let connection: ClientHttp2Session;
let token: string;
/** Calls that reached the store. */
let asked: number;

beforeEach(async () => {
  asked = 0;
  authority = await createAuthority({
    createStore: wrappedStore({
      before: () => {
        asked += 1;
      },
    }),
  });
  api = new SessionApi(authority.address);
  ({ token } = await api.create());
  connection = connect(`http://${authority.address}`);
  connection.on("error", () => undefined);
});

afterEach(async () => {
  connection.destroy();
  api.close();
  await authority.close();
});

/** A message as gRPC frames it. */
function framed(message: Uint8Array, isCompressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(isCompressed ? 1 : 0, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function headersOf(path: string, extra: Readonly<Record<string, string>> = {}) {
  return {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...extra,
  };
}

/** Sends one message and returns the gRPC status it is answered with. */
async function call(path: string, body: Buffer, extra: Readonly<Record<string, string>> = {}) {
  return await new Promise<string>((resolve, reject) => {
    const stream = connection.request(headersOf(path, extra));
    let status = "";
    stream.on("response", (headers: IncomingHttpHeaders) => {
      status = String(headers["grpc-status"] ?? status);
    });
    stream.on("trailers", (trailers: IncomingHttpHeaders) => {
      status = String(trailers["grpc-status"] ?? status);
    });
    stream.on("error", reject).on("close", () => {
      resolve(status);
    });
    stream.resume();
    stream.end(body);
  });
}

async function expectAlive(): Promise<void> {
  expect((await api.validate(token)).outcome).toBe(ValidationOutcome.VALID);
}

describe("a compressed request", () => {
  it("that unpacks to 64 MiB is refused at the limit, and no 64 MiB are held", async () => {
    const bomb = framed(gzipSync(Buffer.alloc(64 * 1024 * 1024)), true);
    const before = process.memoryUsage().arrayBuffers;

    const statuses = await Promise.all(
      Array.from({ length: 30 }, () => call(VALIDATE, bomb, { "grpc-encoding": "gzip" })),
    );

    expect(new Set(statuses)).toEqual(new Set(["8"]));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    await expectAlive();
  });

  it.each(["gzip", "deflate", "identity", "br", "nosuch"])(
    "that is none of %s fails alone (CVE-2026-48069)",
    async (encoding) => {
      const garbage = framed(Buffer.from("no such thing"), true);

      expect(await call(VALIDATE, garbage, { "grpc-encoding": encoding })).toMatch(/^[1-9]/);
      await expectAlive();
    },
  );

  it("is answered like any other where it is one", async () => {
    const request = ValidateSessionRequest.create({ tenantId: "acme", token });
    const packed = gzipSync(ValidateSessionRequest.encode(request).finish());

    expect(await call(VALIDATE, framed(packed, true), { "grpc-encoding": "gzip" })).toBe("0");
  });
});

describe("a flood of calls that are reset at once (CVE-2023-44487)", () => {
  it("ends with its connection, leaves nothing in flight, and hurts nobody else", async () => {
    const request = ValidateSessionRequest.create({ tenantId: "acme", token });
    const body = framed(ValidateSessionRequest.encode(request).finish());
    const before = asked;
    let sent = 0;
    while (!connection.destroyed && sent < 10_000) {
      const stream = connection.request(headersOf(VALIDATE));
      stream.on("error", () => undefined);
      stream.end(body);
      stream.close(constants.NGHTTP2_CANCEL);
      sent += 1;
      if (sent % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }

    // nghttp2 takes a thousand resets at once, and 33 a second after that.
    expect(connection.destroyed).toBe(true);
    expect(asked - before).toBeLessThan(2_000);
    await expectAlive();
    // It waits for every call in flight.
    await authority.drain();
  });
});

describe("a flood of streams that are opened and cancelled", () => {
  it("leaves no watcher behind, and the memory as it was (S-40)", async () => {
    const body = framed(
      WatchRevocationsRequest.encode(WatchRevocationsRequest.create({ clientName: "x" })).finish(),
    );
    async function open(own: ClientHttp2Session): Promise<void> {
      const stream = own.request(headersOf(WATCH));
      stream.on("error", () => undefined);
      stream.end(body);
      await new Promise((resolve) => stream.once("data", resolve));
      stream.close(constants.NGHTTP2_CANCEL);
    }
    /** 300 streams: nghttp2 ends a connection with many more resets than that. */
    async function flood(): Promise<void> {
      const own = connect(`http://${authority.address}`);
      for (let batch = 0; batch < 3; batch += 1) {
        await Promise.all(Array.from({ length: 100 }, () => open(own)));
      }
      await eventually(() => authority.stats().watchers === 0);
      own.close();
    }
    await flood();
    const before = await heapBytes();

    for (let round = 0; round < 8; round += 1) await flood();

    // Each of 2,400 that stayed would hold 2 kB at least.
    expect((await heapBytes()) - before).toBeLessThan(2_400_000);
    await expectAlive();
  }, 60_000);
});

describe("a stranger where clients have no certificates", () => {
  const key = newServiceKey();
  let keyed: Authority;
  let file: ConfigurationOnDisk;
  let line: ClientHttp2Session;

  beforeEach(async () => {
    const edge = { name: "edge", roles: ["validator", "auditor"], tenants: "*" as const, key };
    file = new ConfigurationOnDisk(callersSection([edge]));
    keyed = await createAuthority({ configurationPath: file.path });
    line = connect(`http://${keyed.address}`);
    line.on("error", () => undefined);
  });

  afterEach(async () => {
    line.destroy();
    await keyed.close();
    file.remove();
  });

  /** Begins a call, sends no message, and returns the status that comes all the same. */
  async function begin(path: string, authorization: string): Promise<string> {
    const stream = line.request(headersOf(path, { authorization }));
    return await new Promise<string>((resolve) => {
      stream.on("response", (headers) => {
        resolve(String(headers["grpc-status"]));
        stream.destroy();
      });
      stream.on("error", () => undefined);
    });
  }

  it.each([VALIDATE, WATCH])(
    "is refused before it has sent its request: %s (S-26)",
    async (path) => {
      expect(await begin(path, "Bearer guessed")).toBe("16");
      expect(await begin(path, "")).toBe("16");
    },
  );

  it("is in the audit trail, without a name", async () => {
    await begin(VALIDATE, "Bearer guessed");
    const admin = new SessionApi(keyed.address, { serviceKey: key });
    const list = admin.admin.listAuditEvents.bind(admin.admin);

    const events = await eventually(async () => {
      const page = await invoke(list, ListAuditEventsRequest.create());
      return page.events.length > 0 && page.events;
    });

    expect(events).toMatchObject([
      {
        method: VALIDATE.slice(1),
        caller: "",
        reasonAdmin: "CALLER_UNKNOWN",
        statusCode: status.UNAUTHENTICATED,
      },
    ]);
    admin.close();
  });

  it("does not keep a stream open that it never ends", async () => {
    const stream = line.request(headersOf(VALIDATE));
    stream.on("error", () => undefined);

    const code = await new Promise((resolve) => {
      stream.on("close", () => {
        resolve(stream.rstCode);
      });
    });

    expect(code).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  it("is asked nothing by health, and a caller with its key is served", async () => {
    const stream = line.request(headersOf("/grpc.health.v1.Health/Check"));
    const headers = await new Promise<IncomingHttpHeaders>((resolve) => {
      stream.on("response", resolve);
      stream.end(framed(new Uint8Array()));
    });
    const caller = new SessionApi(keyed.address, { serviceKey: key });

    expect(headers["grpc-status"]).toBeUndefined();
    expect((await caller.validate(token)).outcome).toBe(ValidationOutcome.NOT_FOUND);
    stream.destroy();
    caller.close();
  });
});
