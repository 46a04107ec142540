// What strangers can do with the one service that asks for no identity.

import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import { eventually } from "../support/eventually.js";
import { heapBytes } from "../support/heap-bytes.js";

const SERVING = "0801";
const SERVICE_UNKNOWN = "0803";

let authority: Authority;
let client: Client;

beforeEach(async () => {
  authority = await createAuthority();
  client = new Client(authority.address, credentials.createInsecure());
});

afterEach(async () => {
  client.close();
  await authority.close();
});

function same(bytes: Buffer): Buffer {
  return bytes;
}

function named(service: string): Buffer {
  return Buffer.from(new BinaryWriter().uint32(10).string(service).finish());
}

/** The first message of a watch in hexadecimal, or its error; then it is cancelled. */
async function watch(service: string, metadata = new Metadata()): Promise<string | ServiceError> {
  const path = "/grpc.health.v1.Health/Watch";
  const call = client.makeServerStreamRequest(path, same, same, named(service), metadata);
  return await new Promise((resolve) => {
    call.on("data", (message: Buffer) => {
      resolve(message.toString("hex"));
      call.cancel();
    });
    call.on("error", resolve);
  });
}

async function check(service: string, metadata = new Metadata()): Promise<string | ServiceError> {
  const path = "/grpc.health.v1.Health/Check";
  return await new Promise((resolve) => {
    client.makeUnaryRequest(path, same, same, named(service), metadata, (error, message) => {
      resolve(error ?? message?.toString("hex") ?? "");
    });
  });
}

describe("health", () => {
  it("is told to whoever watches, at once and when it changes", async () => {
    const told: string[] = [];
    const path = "/grpc.health.v1.Health/Watch";
    const call = client.makeServerStreamRequest(path, same, same, named(""));
    call.on("data", (message: Buffer) => told.push(message.toString("hex")));
    call.on("error", () => undefined);
    await eventually(() => told.length === 1);

    const drained = authority.drain();
    await eventually(() => told.length === 2);
    call.cancel();
    await drained;

    expect(told).toEqual([SERVING, "0802"]);
  });

  it("of a service that is none of ours is unknown, and a check of it not found", async () => {
    expect(await watch("nosuch")).toBe(SERVICE_UNKNOWN);
    expect(await watch("liveness")).toBe(SERVING);
    expect(await check("nosuch")).toMatchObject({ code: status.NOT_FOUND });
  });

  it("keeps nothing of the names that strangers watch, S-40", async () => {
    async function flood(round: number): Promise<void> {
      for (let batch = 0; batch < 20; batch += 1) {
        const names = Array.from({ length: 50 }, (_, at) => `${round}-${batch}-${at}`);
        await Promise.all(names.map((name) => watch(name.padEnd(128, "x"))));
      }
    }
    await flood(0);
    const before = await heapBytes();

    for (let round = 1; round <= 12; round += 1) await flood(round);

    // A set and a name for each of 12,000 would be 4.5 MB.
    expect((await heapBytes()) - before).toBeLessThan(2_500_000);
  }, 60_000);

  it("refuses names no service has, and 8 kB of metadata, S-40", async () => {
    const metadata = new Metadata();
    metadata.set("x-large", "x".repeat(9000));

    expect(await watch("x".repeat(129))).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(await watch("", metadata)).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(await check("", metadata)).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(await check("")).toBe(SERVING);
  });
});
