// Redis only: what is no token costs the store nothing (S-03, B-09).

import { randomBytes } from "node:crypto";

import {
  RevokeSessionRequest,
  RevokeSessionResponse,
  RotateSessionRequest,
  RotateSessionResponse,
  RotationTrigger,
  ValidateSessionRequest,
  ValidateSessionResponse,
  ValidationOutcome,
} from "@coatcheck/proto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";

import { type RedisServer, startRedisServer } from "../support/redis-server.js";
import { SessionApi } from "../support/session-api.js";

const TOKENS = 10_000;
const AT_ONCE = 200;

/** A unary method as bytes, so that a token may be bytes that no string is. */
interface Method {
  readonly path: string;
  /** A request whose token field is cut out and written by hand. */
  readonly rest: Uint8Array;
  /** The tag of the token's field: its number and the wire type of bytes. */
  readonly tag: number;
  readonly isRefused: (response: Buffer) => boolean;
}

const METHODS: readonly Method[] = [
  {
    path: "ValidateSession",
    rest: ValidateSessionRequest.encode(
      ValidateSessionRequest.create({ tenantId: "acme" }),
    ).finish(),
    tag: tagOf(ValidateSessionRequest.encode(ValidateSessionRequest.create({ token: "x" }))),
    isRefused: (bytes) =>
      ValidateSessionResponse.decode(bytes).outcome === ValidationOutcome.MALFORMED,
  },
  {
    path: "RotateSession",
    rest: RotateSessionRequest.encode(
      RotateSessionRequest.create({ trigger: RotationTrigger.LOGIN, requestId: "r" }),
    ).finish(),
    tag: tagOf(RotateSessionRequest.encode(RotateSessionRequest.create({ token: "x" }))),
    isRefused: (bytes) =>
      RotateSessionResponse.decode(bytes).outcome === ValidationOutcome.MALFORMED,
  },
  {
    path: "RevokeSession",
    rest: RevokeSessionRequest.encode(RevokeSessionRequest.create({ requestId: "r" })).finish(),
    tag: tagOf(
      RevokeSessionRequest.encode(
        RevokeSessionRequest.create({ target: { $case: "token", value: "x" } }),
      ),
    ),
    isRefused: (bytes) => !RevokeSessionResponse.decode(bytes).found,
  },
];

describe("10,000 random byte strings for a token", () => {
  let redis: RedisServer;
  let observer: Redis;
  let authority: Authority;
  let api: SessionApi;

  beforeAll(async () => {
    redis = await startRedisServer();
    observer = new Redis(redis.url);
    authority = await createAuthority({
      createStore: (options) =>
        createRedisStore({ ...options, url: redis.url, reapIntervalMs: 0, pubSub: false }),
      // The tail would ask Redis ten times a second and hide what the calls cost.
      watch: { pullIntervalMs: 600_000 },
    });
    api = new SessionApi(authority.address);
  });

  afterAll(async () => {
    api.close();
    await authority.close();
    observer.disconnect();
    await redis.stop();
  });

  it.each(METHODS)(
    "run no command in Redis and change nothing ($path)",
    async (method) => {
      const { token, session } = await api.create();
      const before = await commandsRun(observer);
      const head = await dataOf(observer);
      let refused = 0;

      for (let sent = 0; sent < TOKENS; sent += AT_ONCE) {
        const answers = await Promise.all(
          Array.from({ length: AT_ONCE }, async () => await send(method, randomToken(token))),
        );
        refused += answers.filter(method.isRefused).length;
      }

      expect(refused).toBe(TOKENS);
      expect(await commandsRun(observer)).toEqual(before);
      expect(await dataOf(observer)).toEqual(head);
      const valid = await api.validate(token);
      expect(valid.session?.sessionId).toBe(session?.sessionId);
      // The yardstick works: a token that is one is a command.
      expect(await commandsRun(observer)).not.toEqual(before);
    },
    60_000,
  );

  async function send({ path, rest, tag }: Method, token: Buffer): Promise<Buffer> {
    const request = Buffer.concat([rest, Buffer.from([tag]), varint(token.length), token]);
    return await new Promise((resolve, reject) => {
      api.client.makeUnaryRequest(
        `/coatcheck.v1.SessionService/${path}`,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        (error, response) => {
          if (error !== null || response === undefined) reject(error ?? new Error("No response"));
          else resolve(response);
        },
      );
    });
  }
});

/** How often each script and data command has run; not what looking at it costs. */
async function commandsRun(redis: Redis): Promise<readonly string[]> {
  const stats = await redis.info("commandstats");
  return stats
    .split(/\r?\n/)
    .filter((line) => line.startsWith("cmdstat_"))
    .map((line) => line.slice("cmdstat_".length).replace(/,.*/, ""))
    .filter((line) => !/^(info|ping|dump|keys|client\|\w+|hello|select):/.test(line))
    .sort();
}

/** Everything that is stored. */
async function dataOf(redis: Redis): Promise<readonly string[]> {
  const keys = (await redis.keys("*")).sort();
  const dumps = await Promise.all(keys.map(async (key) => await redis.dumpBuffer(key)));
  return keys.map((key, index) => `${key} ${String(dumps[index]?.toString("base64"))}`);
}

/** Random bytes of any length, or a good token with something wrong. */
function randomToken(token: string): Buffer {
  const random = randomBytes(6);
  const [kind = 0, length = 0, at = 0, value = 0] = random;
  const good = Buffer.from(token);
  switch (kind % 4) {
    case 0:
      return randomBytes(length);
    case 1:
      return randomBytes(good.length);
    case 2:
      return good.subarray(0, at % good.length);
    default: {
      const place = at % good.length;
      const other = value === good[place] ? value ^ 1 : value;
      return Buffer.concat([good.subarray(0, place), Buffer.of(other), good.subarray(place + 1)]);
    }
  }
}

/** The first byte of a message that has one field. */
function tagOf(writer: { finish(): Uint8Array }): number {
  return writer.finish()[0] ?? 0;
}

/** A length of at most 16,383 as protobuf writes it. */
function varint(length: number): Buffer {
  return length < 128 ? Buffer.of(length) : Buffer.of((length & 0x7f) | 0x80, length >> 7);
}
