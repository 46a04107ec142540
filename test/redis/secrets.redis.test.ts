// Redis only: what a dump of it, or an error from it, gives away (S-04, T13, B-17).

import { randomBytes } from "node:crypto";
import { inspect } from "node:util";

import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import {
  deriveRecoverySecret,
  deriveSecret,
  encodeSecret,
  formatRecoveryToken,
  formatToken,
  mintSessionId,
  tokenDigest,
} from "#server/session/token.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { PARTITION, request, World } from "../contract/world.js";
import { createRedisHarness, keysOf, type RedisHarness } from "../support/redis-harness.js";

describe("a dump of Redis", () => {
  let harness: RedisHarness;
  let world: World;

  beforeEach(async () => {
    harness = await createRedisHarness(inject("redisUrl"));
    world = await World.open(async () => await Promise.resolve(harness));
  });

  afterEach(async () => {
    await world.close();
  });

  it("has no token, no secret and no key of one", async () => {
    const sessionId = mintSessionId(PARTITION);
    const retrySecret = randomBytes(32);
    const nonce = randomBytes(32);
    const secret = deriveSecret({ key: retrySecret, nonce });
    const recovery = deriveRecoverySecret({ key: retrySecret, nonce });
    const successorNonce = randomBytes(16);
    const successor = deriveSecret({ key: Buffer.from(secret), nonce: successorNonce });
    const recoveryToken = formatRecoveryToken(sessionId, recovery);
    const session = await world.create({
      sessionId,
      tokenDigest: tokenDigest(formatToken(sessionId, secret)),
      nonce: nonce.toString("hex"),
      recoveryDigest: tokenDigest(recoveryToken),
      request: request("create"),
    });

    await world.rotate(session, "periodic", {
      successorDigest: tokenDigest(formatToken(sessionId, successor)),
      nonce: successorNonce.toString("hex"),
      request: request("rotate"),
    });

    const dump = await dumpOf(harness);
    expect(dump).toContain(tokenDigest(formatToken(sessionId, successor)));
    for (const canary of [secret, recovery, successor, encodeSecret(retrySecret)]) {
      expect(dump).not.toContain(canary);
    }
    expect(dump).not.toContain(retrySecret.toString("hex"));
  });
});

describe("an error of the store", () => {
  it("has nothing of the arguments in it, S-04", async () => {
    const harness = await createRedisHarness(inject("redisUrl"));
    try {
      const world = await World.open(async () => await Promise.resolve(harness));
      const session = await world.create();
      const key = harness.keys.session(PARTITION, session.sessionId);
      await harness.redis.del(key);
      await harness.redis.set(key, "not a hash");

      const error: unknown = await world.validate(session).catch((reason: unknown) => reason);

      expect(error).toBeInstanceOf(StoreUnavailableError);
      const printed = inspect(error, { depth: 10, showHidden: true });
      expect(printed).not.toContain(session.tokenDigest);
      expect(printed).not.toContain("command");
    } finally {
      await harness.close();
    }
  });
});

async function dumpOf({ redis, namespace }: RedisHarness): Promise<string> {
  const parts: string[] = [];
  for (const key of await keysOf(redis, namespace)) {
    parts.push(key, (await redis.dumpBuffer(key)).toString("latin1"));
    // A dump may be compressed; what is read is not.
    if ((await redis.type(key)) === "hash") parts.push(JSON.stringify(await redis.hgetall(key)));
    if ((await redis.type(key)) === "string") parts.push((await redis.get(key)) ?? "");
    if ((await redis.type(key)) === "stream") {
      parts.push(JSON.stringify(await redis.xrange(key, "-", "+")));
    }
  }
  return parts.join("\n");
}
