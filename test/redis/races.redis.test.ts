// Redis only: two replicas with connections of their own, racing on one subject.

import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { PARTITION, SUBJECT, World } from "../contract/world.js";
import { eventually } from "../support/eventually.js";
import { createRedisHarness, type RedisHarness } from "../support/redis-harness.js";

describe("two replicas on one Redis", () => {
  let a: RedisHarness;
  let b: RedisHarness;
  let here: World;
  let there: World;

  beforeEach(async () => {
    a = await createRedisHarness(inject("redisUrl"), { pubSub: true });
    b = await createRedisHarness(inject("redisUrl"), { namespace: a.namespace, pubSub: true });
    here = await World.open(async () => await Promise.resolve(a));
    there = await World.open(async () => await Promise.resolve(b));
  });

  afterEach(async () => {
    await b.store.close();
    b.redis.disconnect();
    await here.close();
  });

  it("let 64 logins at once leave 3 live and 61 evictions, each once, S-10", async () => {
    const results = await Promise.all(
      Array.from(
        { length: 64 },
        async (_, number) =>
          await (number % 2 === 0 ? here : there).create({ eventId: `login-${number}` }),
      ),
    );

    const outcomes = await Promise.all(results.map(async (session) => await here.outcome(session)));
    expect(outcomes.filter((outcome) => outcome === "valid")).toHaveLength(3);
    const events = await here.events();
    expect(events).toHaveLength(61);
    expect(new Set(events.map(({ target }) => JSON.stringify(target))).size).toBe(61);
    expect(new Set(events.map(({ eventId }) => eventId)).size).toBe(61);
    expect(results.flatMap(({ evicted }) => evicted)).toHaveLength(61);
  });

  it("hand 64 PERIODIC rotations with one token one successor, S-06", async () => {
    const session = await here.create();

    const results = await Promise.all(
      Array.from(
        { length: 64 },
        async (_, number) => await (number % 2 === 0 ? here : there).rotate(session, "periodic"),
      ),
    );

    expect(new Set(results.map(({ tokenDigest }) => tokenDigest)).size).toBe(1);
    expect(new Set(results.map(({ nonce }) => nonce)).size).toBe(1);
    expect(await here.events()).toHaveLength(1);
  });

  it("let two LOGIN rotations at once log nobody out", async () => {
    const session = await here.create();

    const results = await Promise.all([
      here.tryRotate(session, "login"),
      there.tryRotate(session, "login"),
    ]);

    expect(results.map(({ kind }) => kind).sort()).toEqual(["refused", "rotated"]);
    expect(await here.state(session)).toBe("active");
    expect(await there.outcome(session)).toBe("rotated");
  });

  it("make a revocation final that races 1,000 uses, updates and rotations, S-08, I-01", async () => {
    const session = await here.create();
    const others = Array.from({ length: 1_000 }, async (_, number) => {
      const world = number % 2 === 0 ? here : there;
      switch (number % 4) {
        case 0:
        case 1:
          return await world.use(session);
        case 2:
          return await world.update(session, { facts: Buffer.from(String(number)) });
        default:
          return await world.tryRotate(session, "periodic");
      }
    });

    const revoked = await there.revoke(session);
    const after = await here.outcome(session);
    await Promise.all(others);

    expect(revoked.kind).toBe("revoked");
    expect(after).toBe("revoked");
    expect(await here.state(session)).toBe("revoked");
    expect(await there.outcome(session)).toBe("revoked");
    expect((await here.events()).filter(({ kind }) => kind === "revoked")).toHaveLength(1);
  });

  it("end every session that was created before “log out everywhere”, and none after, S-09", async () => {
    const logins = Array.from(
      { length: 50 },
      async (_, number) =>
        await (number % 2 === 0 ? here : there).create({ policy: { maxSessionsPerSubject: 0 } }),
    );
    const cutoff = here.revokeSubject();
    const sessions = await Promise.all(logins);
    const result = await cutoff;

    if (result.kind !== "revoked") expect.fail(`the revocation answered ${result.kind}`);
    for (const session of sessions) {
      const isAfter = session.revision.sequence >= result.revision.sequence;
      expect(await there.outcome(session)).toBe(isAfter ? "valid" : "revoked");
    }
  });

  it("tell each other of news through Pub/Sub", async () => {
    const nudges: number[] = [];
    b.store.log.onNudge((partition) => nudges.push(partition));
    // The subscriber connects beside; what it misses before is found by the timer.
    await eventually(async () => {
      await here.revokeSubject({ subject: SUBJECT });
      return nudges.includes(PARTITION);
    });

    expect(new Set(nudges)).toEqual(new Set([PARTITION]));
  });
});
