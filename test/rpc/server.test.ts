import { readFileSync } from "node:fs";

import {
  RevocationServiceClient,
  WatchRevocationsRequest,
  type WatchRevocationsResponse,
} from "@coatcheck/proto";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";

import { type Authority, type AuthorityOptions, createAuthority } from "#server/server.js";
import { createMemoryStore } from "#server/store/memory/memory-store.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { eventually } from "../support/eventually.js";
import { failure, SessionApi } from "../support/session-api.js";
import { wrappedStore } from "../support/wrapped-store.js";

const open: Authority[] = [];
const READINESS = ["", "coatcheck.v1.SessionService", "coatcheck.v1.RevocationService"];

async function start(options: AuthorityOptions = {}): Promise<Authority> {
  const authority = await createAuthority(options);
  open.push(authority);
  return authority;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((authority) => authority.close()));
});

describe("health", () => {
  it("is SERVING from the first moment where the store answers", async () => {
    const { address } = await start();

    for (const name of [...READINESS, "liveness"]) {
      expect(await health(address, name)).toBe("SERVING");
    }
  });

  it("is NOT_SERVING while the store is away, SERVING again after; liveness stays (S-47)", async () => {
    let isAway = false;
    const { address } = await start({
      createStore: (options) => {
        const store = createMemoryStore(options);
        const { log } = store;
        return {
          kind: store.kind,
          sessions: store.sessions,
          audit: store.audit,
          setIncident: (command) => store.setIncident(command),
          start: () => store.start(),
          condition: () => store.condition(),
          measure: () => store.measure(),
          close: () => store.close(),
          deploymentId: () => store.deploymentId(),
          log: {
            onNudge: (listener) => log.onNudge(listener),
            pull: (...where) =>
              isAway ? Promise.reject(new StoreUnavailableError("away", "no")) : log.pull(...where),
          },
        };
      },
    });

    isAway = true;
    await eventually(async () => (await health(address, "")) === "NOT_SERVING");
    expect(await health(address, "coatcheck.v1.SessionService")).toBe("NOT_SERVING");
    expect(await health(address, "liveness")).toBe("SERVING");

    isAway = false;
    await eventually(async () => (await health(address, "")) === "SERVING");
  });

  it("does not know other services", async () => {
    const { address } = await start();

    await expect(health(address, "nosuch")).rejects.toMatchObject({ code: status.NOT_FOUND });
  });
});

describe("start", () => {
  it("refuses any address but loopback for the memory store", async () => {
    await expect(
      createAuthority({ listen: { host: "0.0.0.0", port: 0 }, dangerousPlaintext: true }),
    ).rejects.toThrow("the memory store serves loopback only");
  });

  it("refuses an address that is taken, with a sentence", async () => {
    const { port } = await start();

    await expect(createAuthority({ listen: { host: "127.0.0.1", port } })).rejects.toThrow(
      `Cannot listen on 127.0.0.1:${port}`,
    );
  });

  it("refuses a policy out of bounds, and names policy and setting", async () => {
    const policies = { mobile: { rotationGraceMs: 600_001 } };

    await expect(createAuthority({ policies })).rejects.toThrow(/"mobile": rotationGraceMs/);
  });
});

describe("drain", () => {
  it("tells watchers to reconnect, ends them UNAVAILABLE, and leaves no watcher", async () => {
    const authority = await start({ drainReconnectMs: 50 });
    const watch = watchAll(authority.address);
    await eventually(() => watch.messages.length > 0);

    await authority.drain();

    const error = await watch.ended;
    expect(error.code).toBe(status.UNAVAILABLE);
    expect(error.details).toContain("reconnect");
    expect(watch.messages.some(({ body }) => body?.$case === "goaway")).toBe(true);
    expect(authority.stats().watchers).toBe(0);
    watch.close();
  });

  it("answers calls in flight before it stops, and takes no new connection after", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const authority = await start({
      drainReconnectMs: 10,
      createStore: wrappedStore({ before: (method) => (method === "create" ? held : undefined) }),
    });
    const api = new SessionApi(authority.address);
    const call = api.create();
    await eventually(async () => (await api.stats()).uptime !== undefined);

    const drained = authority.drain();
    release();

    expect((await call).token).not.toBe("");
    await drained;
    const late = new SessionApi(authority.address);
    expect((await failure(late.create({}, { deadline: Date.now() + 500 }))).code).toMatch(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
    api.close();
    late.close();
  });

  it("ends although somebody watches health, which never ends by itself", async () => {
    const authority = await start({ drainReconnectMs: 10 });
    const client = new Client(authority.address, credentials.createInsecure());
    const ended = new Promise((resolve) => {
      const path = "/grpc.health.v1.Health/Watch";
      const stream = client.makeServerStreamRequest(path, same, same, Buffer.alloc(0));
      stream.on("data", () => undefined);
      stream.on("error", resolve);
    });
    await health(authority.address, "");

    await authority.drain();

    await ended;
    client.close();
  });
});

describe("reflection", () => {
  it("is off unless it is asked for (S-30)", async () => {
    const { address } = await start();

    await expect(reflect(address, { field: 7, text: "" })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
    });
  });

  it("lists the services, health included", async () => {
    const { address } = await start({ reflection: true });

    const list = await reflect(address, { field: 7, text: "" });

    for (const name of ["SessionService", "RevocationService", "AdminService"]) {
      expect(list.includes(`coatcheck.v1.${name}`)).toBe(true);
    }
    expect(list.includes("grpc.health.v1.Health")).toBe(true);
  });

  it("serves each file as buf wrote it, imports and optional included", async () => {
    const { address } = await start({ reflection: true });
    const all = readFileSync(new URL("../../proto/descriptors.binpb", import.meta.url));

    const reply = await reflect(address, { field: 4, text: "coatcheck.v1.UpdateSessionRequest" });

    const healthFile = await reflect(address, { field: 4, text: "grpc.health.v1.Health" });
    expect(healthFile.includes("StatusesEntry")).toBe(true);
    // The synthetic oneof is what "optional" is, and the first thing that goes missing.
    for (const part of ["_expected_version", "coatcheck/v1/revision.proto"]) {
      expect(reply.includes(part)).toBe(true);
      expect(all.includes(part)).toBe(true);
    }
  });
});

function same(bytes: Buffer): Buffer {
  return bytes;
}

/** Asks `grpc.health.v1.Health/Check`, spoken by hand: two fields are all there is to it. */
async function health(address: string, service: string): Promise<string> {
  const client = new Client(address, credentials.createInsecure());
  const request = Buffer.from(new BinaryWriter().uint32(10).string(service).finish());
  try {
    const reply = await new Promise<Buffer>((resolve, reject) => {
      const path = "/grpc.health.v1.Health/Check";
      client.makeUnaryRequest(path, same, same, request, (error, value) => {
        if (error !== null) reject(error);
        else resolve(value ?? Buffer.alloc(0));
      });
    });
    return reply[1] === 1 ? "SERVING" : "NOT_SERVING";
  } finally {
    client.close();
  }
}

/** Asks the reflection service one question. */
async function reflect(
  address: string,
  { field, text }: { field: number; text: string },
): Promise<Buffer> {
  const client = new Client(address, credentials.createInsecure());
  const request = new BinaryWriter().uint32((field << 3) | 2).string(text);
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
      const stream = client.makeBidiStreamRequest(path, same, same);
      stream.on("data", resolve);
      stream.on("error", reject);
      stream.end(Buffer.from(request.finish()));
    });
  } finally {
    client.close();
  }
}

interface Watch {
  readonly messages: WatchRevocationsResponse[];
  readonly ended: Promise<ServiceError>;
  close(): void;
}

function watchAll(address: string): Watch {
  const client = new RevocationServiceClient(address, credentials.createInsecure());
  const messages: WatchRevocationsResponse[] = [];
  const stream = client.watchRevocations(WatchRevocationsRequest.create());
  stream.on("data", (message: WatchRevocationsResponse) => messages.push(message));
  const ended = new Promise<ServiceError>((resolve) => {
    stream.on("error", resolve);
  });
  return {
    messages,
    ended,
    close: () => {
      client.close();
    },
  };
}
