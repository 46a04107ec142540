import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { RETRY_AFTER_MAX_MS } from "#client/base/retry-after.js";
import { createSessionClient, type SessionClient } from "#client/session-client.js";
import { SDK_VERSION, type SessionClientOptions } from "#client/options.js";
import type { ValidateOptions, Validation } from "#client/validation.js";
import { ManualClock } from "../../support/manual-clock.js";
import { madeUpToken } from "./support/made-up-token.js";
import { everywhere, emptySync, failed, FakeTransport } from "./support/fake-transport.js";
import { L_MS, reply, rev, revoked, session } from "./support/fixtures.js";

const PUBLISHED = new URL("../../../proto/vectors/tokens.json", import.meta.url);
const [, VECTOR] = (
  JSON.parse(readFileSync(PUBLISHED, "utf8")) as { tokens: { session_id: string; token: string }[] }
).tokens;
const TOKEN = VECTOR?.token ?? "";
const SESSION_ID = VECTOR?.session_id ?? "";
const PARTITION = 7;

interface Bench extends AsyncDisposable {
  readonly client: SessionClient;
  readonly transport: FakeTransport;
  readonly clock: ManualClock;
  /** Starts a validation whose question has been sent when this returns. */
  ask(options?: ValidateOptions): Promise<Validation>;
  /** Validates, with the authority saying yes. */
  warm(): Promise<void>;
}

async function createBench(options: Partial<SessionClientOptions> = {}): Promise<Bench> {
  const clock = new ManualClock();
  const transport = new FakeTransport();
  const client = createSessionClient({
    target: "",
    tenantId: "acme",
    clientName: "test",
    clock,
    transport,
    randomness: {
      fraction: () => 0.5,
      requestId: () => "request",
      secret: () => Buffer.alloc(32),
    },
    ...options,
  });
  const waiting = client.ready();
  await clock.advanceAsync(0);
  await waiting;
  transport.sayOpened();
  return {
    client,
    transport,
    clock,
    ask: (given) => client.validate(TOKEN, given),
    warm: async () => {
      const answer = client.validate(TOKEN);
      transport.lastValidation.reply.resolve(yes());
      await answer;
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

function yes(overrides: Parameters<typeof reply>[0] = {}): ReturnType<typeof reply> {
  return reply({
    session: session({ sessionId: SESSION_ID }),
    asOf: rev(0, 1, PARTITION),
    issued: rev(0, 1, PARTITION),
    ...overrides,
  });
}

function rotated(sequence: number): ReturnType<typeof reply> {
  return yes({ outcome: "rotated", session: undefined, asOf: rev(sequence, 1, PARTITION) });
}

function ended(sequence: number): ReturnType<typeof revoked> {
  const target = { kind: "session", sessionId: SESSION_ID } as const;
  return revoked(rev(sequence, 1, PARTITION), { target });
}

function batch(from: number, through: number, ...events: ReturnType<typeof revoked>[]) {
  const ranges = [{ fromExclusive: rev(from, 1, PARTITION), through: rev(through, 1, PARTITION) }];
  return { kind: "batch", ranges, events } as const;
}

describe("a client", () => {
  it("opens nothing before it is used", async () => {
    const transport = new FakeTransport();
    const clock = new ManualClock();
    const client = createSessionClient({
      target: "",
      tenantId: "acme",
      clientName: "test",
      transport,
      clock,
    });

    expect([transport.streams.length, transport.syncs.length, clock.timerCount]).toEqual([0, 0, 0]);
    await client.close();
  });

  it("leaves no timer and no stream behind when it is closed", async () => {
    const { client, transport, clock } = await createBench();
    client.follow(TOKEN);

    await client.close();
    transport.lastStream.listener.onEnd(failed("unreachable"));
    await client.close();

    expect(clock.timerCount).toBe(0);
    expect(transport.lastStream.isCancelled).toBe(true);
    expect(transport.isClosed).toBe(true);
    expect(await client.validate(TOKEN)).toEqual({ kind: "unavailable", reason: "closed" });
    await expect(client.get(SESSION_ID)).rejects.toMatchObject({ reason: "closed", applied: "no" });
    await expect(client.ready()).rejects.toMatchObject({ reason: "closed" });
  });

  it("refuses options outside their bounds", () => {
    const given = { target: "x", tenantId: "acme", clientName: "test" };

    expect(() => createSessionClient({ ...given, tenantId: "" })).toThrow(TypeError);
    expect(() => createSessionClient({ ...given, target: "" })).toThrow(TypeError);
    expect(() => createSessionClient({ ...given, maxStalenessMs: 99 })).toThrow(
      "Cannot set maxStalenessMs to 99: it must be 100 to 60000",
    );
    expect(() => createSessionClient({ ...given, cacheEntriesMax: Number.NaN })).toThrow(
      RangeError,
    );
  });

  it("tells the version that its package has", () => {
    const manifest = new URL("../../../client/package.json", import.meta.url);

    expect(JSON.parse(readFileSync(manifest, "utf8"))).toMatchObject({ version: SDK_VERSION });
  });
});

describe("validate", () => {
  it("asks nobody about what cannot be a token", async () => {
    await using bench = await createBench();
    const { client, transport } = bench;

    expect(await client.validate(undefined)).toEqual({ kind: "invalid", outcome: "no-token" });
    expect(await client.validate("")).toEqual({ kind: "invalid", outcome: "no-token" });
    expect(await client.validate("cc1_x")).toEqual({ kind: "invalid", outcome: "malformed" });
    expect(transport.validations).toEqual([]);
  });

  it("asks the authority once and answers from memory after it", async () => {
    await using bench = await createBench();
    await bench.warm();

    expect(await bench.ask()).toMatchObject({ kind: "valid", source: "cache" });
    expect(bench.client.peek(TOKEN)).toMatchObject({ kind: "valid", source: "cache" });
    expect(bench.transport.validations.length).toBe(1);
  });

  it("gives up after half of the staleness bound", async () => {
    await using bench = await createBench({ deadlineMs: 60_000 });
    const answer = bench.ask();

    expect(bench.transport.lastValidation.options.deadlineMs).toBe(L_MS / 2);
    bench.transport.lastValidation.reply.reject(failed("timeout"));
    expect(await answer).toEqual({ kind: "unavailable", reason: "timeout" });
  });

  it("sends neither conditions nor a use that they may refuse", async () => {
    await using bench = await createBench();
    const answer = bench.ask({ requirements: { minAal: 2 } });

    expect(bench.transport.lastValidation.call).toEqual({
      tenantId: "acme",
      token: TOKEN,
      touch: false,
      minRevision: undefined,
    });
    bench.transport.lastValidation.reply.resolve(yes());
    expect(await answer).toEqual({ kind: "invalid", outcome: "insufficient-aal" });
    await bench.clock.advanceAsync(5_000);
    expect(bench.transport.touches).toEqual([]);
  });

  it("never hands one call's verdict to another with other conditions (S-18)", async () => {
    await using bench = await createBench();
    const strict = bench.ask({ requirements: { minAal: 2 } });
    const lenient = bench.ask();
    bench.transport.lastValidation.reply.resolve(yes());

    expect(bench.transport.validations.length).toBe(1);
    expect((await strict).kind).toBe("invalid");
    expect((await lenient).kind).toBe("valid");
    expect((await bench.ask({ audienceClientIds: ["app"] })).kind).toBe("invalid");
    expect((await bench.ask({ audienceClientIds: ["web"] })).kind).toBe("valid");
  });

  it("reports the use of whoever joined a question that was none", async () => {
    await using bench = await createBench();
    const peeking = bench.ask({ touch: false });
    const touching = bench.ask();
    expect(bench.transport.validations.map(({ call }) => call.touch)).toEqual([false]);
    bench.transport.lastValidation.reply.resolve(yes());
    await Promise.all([peeking, touching]);

    await bench.clock.advanceAsync(5_000);

    expect(bench.transport.touches).toMatchObject([[{ sessionId: SESSION_ID, idleForMs: 5_000 }]]);
  });

  it("reports a use at once where the idle deadline is within two flushes", async () => {
    await using bench = await createBench();
    const answer = bench.ask({ requirements: { minAal: 1 } });
    bench.transport.lastValidation.reply.resolve(yes({ validForMs: 9_000 }));
    await answer;

    expect(bench.transport.touches).toMatchObject([[{ sessionId: SESSION_ID, idleForMs: 0 }]]);
  });

  it("goes to the authority near the idle deadline, although memory could answer (S-17)", async () => {
    await using bench = await createBench();
    const first = bench.ask();
    bench.transport.lastValidation.reply.resolve(yes({ validForMs: 10_000 }));
    await first;
    const second = bench.ask();

    expect(bench.transport.validations.length).toBe(2);
    expect(bench.client.peek(TOKEN, { touch: false })).toMatchObject({ source: "cache" });
    bench.transport.lastValidation.reply.resolve(yes());
    await second;
  });

  it("keeps one caller's abort from the others (S-19)", async () => {
    await using bench = await createBench();
    const controller = new AbortController();
    const given = bench.ask({ signal: controller.signal });
    const patient = bench.ask();
    controller.abort();

    expect(await given).toEqual({ kind: "unavailable", reason: "cancelled" });
    bench.transport.lastValidation.reply.resolve(yes());
    expect((await patient).kind).toBe("valid");
  });

  it("does not let who asks after an own mutation join a question from before it", async () => {
    await using bench = await createBench();
    const before = bench.ask();
    bench.transport.updateReply = {
      session: session({ sessionId: SESSION_ID }),
      revision: rev(0, 1, PARTITION),
    };
    await bench.client.update(SESSION_ID, { set: { plan: "pro" } });
    const after = bench.ask();

    expect(bench.transport.validations.length).toBe(2);
    for (const { reply: answer } of bench.transport.validations) answer.resolve(yes());
    expect((await before).kind).toBe("valid");
    expect((await after).kind).toBe("valid");
  });

  it("does not let who asks after a change join a question from before it (I10)", async () => {
    await using bench = await createBench();
    const before = bench.ask();
    const { reply: early } = bench.transport.lastValidation;
    bench.transport.say(batch(0, 1, { ...ended(1), kind: "changed", trigger: "login" }));

    const after = bench.ask();
    expect(bench.transport.validations.length).toBe(2);
    bench.transport.lastValidation.reply.resolve(rotated(1));
    early.resolve(yes({ asOf: rev(0, 1, PARTITION) }));

    expect(await after).toMatchObject({ outcome: "rotated" });
    expect(await before).toMatchObject({ kind: "valid" });
    expect(bench.client.peek(TOKEN)).toBeUndefined();
  });

  it("asks again when the answer is older than what was applied, and not for ever", async () => {
    await using bench = await createBench();
    bench.transport.say(batch(0, 5));
    const answer = bench.ask();
    for (let asked = 1; asked <= 3; asked += 1) {
      expect(bench.transport.validations.length).toBe(asked);
      bench.transport.lastValidation.reply.resolve(yes());
      await bench.clock.advanceAsync(0);
    }

    expect(await answer).toEqual({ kind: "unavailable", reason: "unusable-reply" });
    expect(bench.client.status().counters.discarded).toEqual({ behind: 3 });
  });

  it("answers unavailable, neither valid nor logged out, where nobody can be asked", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(2 * L_MS);
    const answer = bench.ask();
    bench.transport.lastValidation.reply.reject(failed("unreachable", 250));

    expect(await answer).toEqual({ kind: "unavailable", reason: "unreachable", retryAfterMs: 250 });
    expect(bench.client.status().state).toBe("jeopardy");
  });

  it("answers stale only where the call site said so, counts it and reports it (S-22)", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(L_MS + 2_000);
    const opted = bench.ask({ maxStaleOnErrorMs: 30_000 });
    bench.transport.lastValidation.reply.reject(failed("unreachable"));

    expect(await opted).toMatchObject({ kind: "stale", session: { sessionId: SESSION_ID } });
    expect(bench.client.status().counters.staleAccepts).toBe(1);
    bench.transport.syncAt = everywhere(0);
    bench.transport.lastSync.reply.reject(failed("unreachable"));
    await bench.clock.advanceAsync(100);
    expect(bench.transport.lastSync.call).toMatchObject({ staleAllowed: true, staleAccepts: 1 });
  });

  it("does not answer stale where the authority refused this service", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(L_MS + 2_000);
    const answer = bench.ask({ maxStaleOnErrorMs: 30_000 });
    bench.transport.lastValidation.reply.reject(failed("caller-not-allowed"));

    expect(await answer).toEqual({ kind: "unavailable", reason: "caller-not-allowed" });
  });

  it("asks nothing more about a token that was refused until the authority may be asked", async () => {
    await using bench = await createBench();
    const { validations } = bench.transport;
    const refused = bench.ask();
    bench.transport.lastValidation.reply.reject(failed("overloaded", 400));
    expect(await refused).toEqual({ kind: "unavailable", reason: "overloaded", retryAfterMs: 400 });

    await bench.clock.advanceAsync(399);
    const storm = await Promise.all(Array.from({ length: 100 }, () => bench.ask()));

    expect(validations.length).toBe(1);
    expect(storm).toEqual(
      storm.map(() => ({ kind: "unavailable", reason: "overloaded", retryAfterMs: 1 })),
    );
    const other = bench.client.validate(MANY[0]?.token);
    expect(validations.length).toBe(2);
    bench.transport.lastValidation.reply.reject(failed("rate-limited", 60_000));
    await other;
    await bench.clock.advanceAsync(1);
    const answer = bench.ask();
    expect(validations.length).toBe(3);
    bench.transport.lastValidation.reply.resolve(yes());
    expect((await answer).kind).toBe("valid");
    await bench.clock.advanceAsync(RETRY_AFTER_MAX_MS - 1);
    const bounded = bench.client.validate(MANY[0]?.token);
    expect(validations.length).toBe(4);
    bench.transport.lastValidation.reply.reject(failed("unreachable"));
    await bounded;
  });

  it("answers what memory knows and what a call site opted into, although it may not ask", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(L_MS + 2_000);
    const opted = { maxStaleOnErrorMs: 30_000 };
    const first = bench.ask(opted);
    bench.transport.lastValidation.reply.reject(failed("rate-limited", 4_000));
    expect((await first).kind).toBe("stale");
    expect((await bench.ask(opted)).kind).toBe("stale");
    expect((await bench.ask()).kind).toBe("unavailable");

    bench.transport.say(batch(0, 1, ended(1)));

    expect(await bench.ask()).toMatchObject({ kind: "invalid", outcome: "revoked" });
    expect(await bench.ask(opted)).toMatchObject({ kind: "invalid", outcome: "revoked" });
  });

  it("asks again at once after a failure that names no time, or is no refusal", async () => {
    await using bench = await createBench();
    const away = failed("store-unavailable", 100);
    for (const error of [failed("overloaded"), away, away]) {
      const before = bench.transport.validations.length;
      const answer = bench.ask();
      expect(bench.transport.validations.length).toBe(before + 1);
      bench.transport.lastValidation.reply.reject(error);
      await answer;
    }
  });

  it("throws for what only a programmer can get wrong", async () => {
    await using bench = await createBench();

    await expect(bench.ask({ maxStaleOnErrorMs: 30_001 })).rejects.toThrow(RangeError);
  });

  it("bounds how many questions are on their way", async () => {
    await using bench = await createBench({ inFlightMax: 1 });
    const first = bench.ask();
    const second = bench.client.validate(TOKEN, { minRevision: rev(0, 1, PARTITION) });

    expect(await second).toEqual({ kind: "unavailable", reason: "too-many-calls" });
    bench.transport.lastValidation.reply.resolve(yes());
    await first;
    expect(bench.client.status().inFlight).toBe(0);
  });
});

/** Well-formed tokens of sessions that nobody made. */
const MANY = Array.from({ length: 1_500 }, (_, index) => madeUpToken(index));
/** A use that is reported, because the question itself is none. */
const PEEKED = { requirements: { minAal: 1 } };

describe("touches", () => {
  it("coalesce hits into one report an interval", async () => {
    await using bench = await createBench();
    await bench.warm();
    for (let hits = 0; hits < 10; hits += 1) bench.client.peek(TOKEN);
    bench.client.peek(TOKEN, { touch: false });
    await bench.clock.advanceAsync(5_000);

    expect(bench.transport.touches).toMatchObject([[{ sessionId: SESSION_ID }]]);
    await bench.clock.advanceAsync(5_000);
    expect(bench.transport.touches.length).toBe(1);
  });

  it("wait for the next report when one fails", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.client.peek(TOKEN);
    bench.transport.touchOutcome = failed("unreachable");
    await bench.clock.advanceAsync(5_000);
    bench.transport.touchOutcome = "valid";
    await bench.clock.advanceAsync(5_000);

    expect(bench.transport.touches.map((uses) => uses[0]?.idleForMs)).toEqual([5_000, 10_000]);
  });

  it("wait as long as the authority asks, however near an idle deadline is", async () => {
    await using bench = await createBench();
    const { transport, clock } = bench;
    transport.touchOutcome = failed("overloaded", 700);
    for (let uses = 0; uses < 20; uses += 1) {
      const answer = bench.ask({ requirements: { minAal: 1 } });
      transport.lastValidation.reply.resolve(yes({ validForMs: 5_000 }));
      await answer;
      await clock.advanceAsync(0);
    }
    expect(transport.touches.length).toBe(1);

    transport.touchOutcome = "valid";
    await clock.advanceAsync(699);
    expect(transport.touches.length).toBe(1);
    await clock.advanceAsync(1);
    expect(transport.touches.length).toBe(2);
  });

  it("give up at the first failure when the client closes, however many wait", async () => {
    const { client, transport } = await createBench();
    const { touches } = transport;
    transport.touchOutcome = failed("timeout");
    for (const { token, session_id: sessionId } of MANY) {
      const answer = client.validate(token, PEEKED);
      const partition = Number.parseInt(sessionId.slice(0, 2), 16);
      transport.lastValidation.reply.resolve(
        yes({
          session: session({ sessionId }),
          asOf: rev(0, 1, partition),
          issued: rev(0, 1, partition),
        }),
      );
      await answer;
    }
    await client.close();

    expect(touches.map((uses) => uses.length)).toEqual([1_000]);
  });

  it("drop the entry of a session that the authority says has ended", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.client.peek(TOKEN);
    bench.transport.touchOutcome = "expired-idle";
    await bench.clock.advanceAsync(5_000);

    expect(bench.client.status().entries).toBe(0);
  });
});

describe("own mutations", () => {
  it("end a session here before revoke resolves", async () => {
    await using bench = await createBench();
    await bench.warm();
    const heard: string[] = [];
    bench.client.onRevoked(({ target }) => heard.push(target.kind));
    bench.transport.revokeReply = {
      found: true,
      alreadyRevoked: false,
      revision: rev(1, 1, PARTITION),
      achieved: "committed",
      effectiveWithinMs: 3_000,
    };
    await bench.client.revoke({ token: TOKEN }, { reason: "user-logout" });

    expect(await bench.ask()).toMatchObject({ kind: "invalid", outcome: "revoked" });
    bench.transport.say(batch(0, 1, ended(1)));
    expect(heard).toEqual(["session"]);
  });

  it("of unknown outcome make memory ask again", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.revokeReply = failed("timeout");

    await expect(bench.client.revoke({ token: TOKEN })).rejects.toMatchObject({
      reason: "timeout",
      applied: "unknown",
    });
    expect(bench.client.peek(TOKEN)).toBeUndefined();
  });

  it("send no token that cannot be one", async () => {
    await using bench = await createBench();

    expect(await bench.client.revoke({ token: "x" })).toMatchObject({ found: false });
    expect(await bench.client.rotate("x", { trigger: "login" })).toEqual({
      kind: "invalid",
      outcome: "malformed",
    });
    expect(bench.transport.revokes).toEqual([]);
  });

  it("answer the old token of a bound session as rotated", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.rotateReply = {
      outcome: "valid",
      session: session({ sessionId: "00aaaaaaaaaaaaaaaaaaaaaa" }),
      token: "cc1_new",
      recoveryToken: "",
      previousValidForMs: 0,
      revision: undefined,
      replacedRevision: rev(1, 1, PARTITION),
      ended: undefined,
    };
    const rotation = await bench.client.rotate(TOKEN, { trigger: "login", bindSubject: "alice" });

    expect(JSON.stringify(rotation)).not.toContain("cc1_new");
    expect(await bench.ask()).toMatchObject({ kind: "invalid", outcome: "rotated" });
  });

  it("end what a creation evicted", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.createReply = {
      session: session({ sessionId: "07aaaaaaaaaaaaaaaaaaaaaa" }),
      token: "cc1_new",
      recoveryToken: "",
      evicted: [SESSION_ID],
      revision: rev(1, 1, PARTITION),
    };
    const created = await bench.client.create({ subject: "alice" });

    expect(created.token.reveal()).toBe("cc1_new");
    expect(bench.transport.creates).toMatchObject([{ requestId: "request", tenantId: "acme" }]);
    expect(await bench.ask()).toMatchObject({ ended: { reason: "limit-exceeded" } });
  });

  it("log a subject out everywhere but here", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.revokeSubjectReply = {
      revokedCountEstimate: 1,
      revision: rev(1, 1, PARTITION),
      achieved: "committed",
      effectiveWithinMs: 3_000,
    };
    await bench.client.revokeSubject("alice", { exceptSessionId: SESSION_ID });
    expect(bench.client.peek(TOKEN)?.kind).toBe("valid");

    bench.transport.revokeSubjectReply = {
      ...bench.transport.revokeSubjectReply,
      revision: rev(2, 1, PARTITION),
    };
    await bench.client.revokeSubject("alice");
    expect(bench.client.peek(TOKEN)).toBeUndefined();
    await expect(
      bench.client.revokeSubject("alice", { exceptSessionId: SESSION_ID, deviceId: "d" }),
    ).rejects.toThrow(TypeError);
  });
});

describe("follow", () => {
  it("aborts when the session is revoked, and says why", async () => {
    await using bench = await createBench();
    const { signal } = bench.client.follow(TOKEN);
    bench.transport.lastValidation.reply.resolve(yes());
    await bench.clock.advanceAsync(0);
    expect(signal.aborted).toBe(false);

    bench.transport.say(batch(0, 1, ended(1)));
    await bench.clock.advanceAsync(0);

    expect(signal.reason).toMatchObject({ kind: "invalid", outcome: "revoked" });
  });

  it("aborts when a recheck after a reset says no", async () => {
    await using bench = await createBench();
    const { signal } = bench.client.follow(TOKEN);
    bench.transport.lastValidation.reply.resolve(yes());
    await bench.clock.advanceAsync(0);

    bench.transport.say(batch(3, 4));
    await bench.clock.advanceAsync(L_MS + 1);
    bench.transport.lastValidation.reply.resolve(
      yes({ outcome: "revoked", session: undefined, asOf: rev(4, 1, PARTITION) }),
    );
    await bench.clock.advanceAsync(0);

    expect(signal.aborted).toBe(true);
  });

  it("goes on through a periodic rotation, which the session survives", async () => {
    await using bench = await createBench();
    const { signal } = bench.client.follow(TOKEN);
    bench.transport.lastValidation.reply.resolve(yes());
    await bench.clock.advanceAsync(0);
    bench.transport.say(batch(0, 1, { ...ended(1), kind: "changed", trigger: "periodic" }));
    // An update makes it ask again, after the followed token's grace.
    bench.transport.say(batch(1, 2, { ...ended(2), kind: "changed" }));
    await bench.clock.advanceAsync(0);
    bench.transport.lastValidation.reply.resolve(rotated(2));
    await bench.clock.advanceAsync(0);

    expect(signal.aborted).toBe(false);
  });

  it("ends with a LOGIN rotation, also where a periodic one came before", async () => {
    await using bench = await createBench();
    const { signal } = bench.client.follow(TOKEN);
    bench.transport.lastValidation.reply.resolve(yes());
    await bench.clock.advanceAsync(0);
    bench.transport.say(batch(0, 1, { ...ended(1), kind: "changed", trigger: "periodic" }));
    bench.transport.say(batch(1, 2, { ...ended(2), kind: "changed", trigger: "login" }));
    await bench.clock.advanceAsync(0);
    // What comes while it is being asked does not make the old token the session's again.
    bench.transport.say(batch(2, 3, { ...ended(3), kind: "changed", trigger: "periodic" }));
    bench.transport.lastValidation.reply.resolve(rotated(3));
    await bench.clock.advanceAsync(0);

    expect(signal.reason).toMatchObject({ kind: "invalid", outcome: "rotated" });
  });

  it("ends after a reset where its token was rotated: by what, nobody heard", async () => {
    await using bench = await createBench();
    const { signal } = bench.client.follow(TOKEN);
    bench.transport.lastValidation.reply.resolve(yes());
    await bench.clock.advanceAsync(0);
    bench.transport.say(batch(0, 1, { ...ended(1), kind: "changed", trigger: "periodic" }));
    bench.transport.say(batch(3, 4));
    await bench.clock.advanceAsync(L_MS);
    bench.transport.lastValidation.reply.resolve(rotated(4));
    await bench.clock.advanceAsync(0);

    expect(signal.reason).toMatchObject({ kind: "invalid", outcome: "rotated" });
  });

  it("goes on with the successor it was given, whatever made it", async () => {
    await using bench = await createBench();
    const { signal } = bench.client.follow(TOKEN);
    // The event of the rotation that made this token arrives while it is being asked.
    bench.transport.say(batch(0, 1, { ...ended(1), kind: "changed", trigger: "login" }));
    bench.transport.lastValidation.reply.resolve(yes({ asOf: rev(1, 1, PARTITION) }));
    await bench.clock.advanceAsync(0);
    bench.transport.say(batch(1, 2, { ...ended(2), kind: "changed", trigger: "periodic" }));
    bench.transport.say(batch(2, 3, { ...ended(3), kind: "changed" }));
    await bench.clock.advanceAsync(0);
    bench.transport.lastValidation.reply.resolve(rotated(3));
    await bench.clock.advanceAsync(0);

    expect(signal.aborted).toBe(false);
  });

  it("never aborts once it is closed", async () => {
    await using bench = await createBench();
    const follow = bench.client.follow(TOKEN);
    bench.transport.lastValidation.reply.resolve(yes());
    await bench.clock.advanceAsync(0);
    follow.close();
    bench.transport.say(batch(0, 1, ended(1)));
    await bench.clock.advanceAsync(0);

    expect(follow.signal.aborted).toBe(false);
    expect(bench.client.status().followers).toBe(0);
  });

  it("aborts at once for what cannot be a token", async () => {
    await using bench = await createBench();

    expect(bench.client.follow("x").signal.reason).toMatchObject({ outcome: "malformed" });
    expect(bench.client.follow(undefined).signal.reason).toMatchObject({ outcome: "no-token" });
  });
});

describe("onRevoked", () => {
  it("survives a listener that throws, and tells the others", async () => {
    await using bench = await createBench();
    const heard: string[] = [];
    bench.client.onRevoked(() => {
      throw new Error("mine");
    });
    const stop = bench.client.onRevoked(({ eventId }) => heard.push(eventId));
    bench.transport.say(batch(0, 1, ended(1)));
    stop();
    const other = { kind: "session", sessionId: "07bbbbbbbbbbbbbbbbbbbbbb" } as const;
    bench.transport.say(batch(1, 2, { ...ended(2), target: other }));

    expect(heard).toEqual([ended(1).eventId]);
    expect(bench.client.status().tombstones).toBe(2);
  });
});

describe("what a program hands in", () => {
  it("cannot end the process or the loops by throwing or rejecting", async () => {
    function broken(): never {
      throw new Error("mine");
    }
    await using bench = await createBench({ logger: { info: broken, warn: broken } });
    const { client, transport, clock } = bench;
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- what JavaScript can pass
    client.onRevoked(async () => {
      await Promise.resolve();
      throw new Error("mine");
    });
    transport.say(batch(0, 1, ended(1)));
    transport.lastStream.listener.onEnd(failed("unreachable"));
    await clock.advanceAsync(2_000);

    // An unhandled rejection would fail the run.
    expect(transport.streams.length).toBe(2);
    expect(client.status().state).toBe("fresh");
  });
});

describe("the Sync loop", () => {
  it("asks every third of the bound, one at a time, with its own deadline", async () => {
    await using bench = await createBench();
    const { transport, clock } = bench;
    await clock.advanceAsync(999);
    expect(transport.syncs.length).toBe(1);
    await clock.advanceAsync(1);
    expect(transport.syncs.length).toBe(2);

    transport.syncAt = undefined;
    await clock.advanceAsync(3_000);

    expect(transport.syncs.length).toBe(3);
    expect(transport.lastSync.options.deadlineMs).toBe(L_MS / 4);
    expect(transport.lastSync.call).toMatchObject({
      deploymentId: "d",
      tenantIds: ["acme"],
      clientName: "test",
      sdkVersion: SDK_VERSION,
    });
    expect(transport.lastSync.call.position.length).toBe(16);
  });

  it("waits as long as the authority asks, and not for ever", async () => {
    await using bench = await createBench();
    const { transport, clock } = bench;
    transport.syncAt = undefined;
    await clock.advanceAsync(1_000);
    for (const [toldMs, waitedMs] of [
      [1_700, 1_700],
      [600_000, RETRY_AFTER_MAX_MS],
    ] as const) {
      const before = transport.syncs.length;
      transport.lastSync.reply.reject(failed("overloaded", toldMs));
      await clock.advanceAsync(waitedMs - 1);
      expect(transport.syncs.length).toBe(before);
      await clock.advanceAsync(1);
      expect(transport.syncs.length).toBe(before + 1);
    }
  });

  it("keeps the cache fresh without a stream (FAULTS row 6)", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.lastStream.listener.onEnd(failed("unreachable"));
    await bench.clock.advanceAsync(10 * L_MS);

    expect(bench.client.status().state).toBe("fresh");
    expect(bench.client.peek(TOKEN)).toMatchObject({ source: "cache" });
  });

  it("lets the lease lapse without Sync, stream or no stream (FAULTS row 7)", async () => {
    await using bench = await createBench();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(L_MS / 2);
    expect(bench.client.status().state).toBe("fresh");
    for (let ms = 0; ms < L_MS; ms += 100) {
      bench.transport.say({ kind: "progress", ranges: [] });
      await bench.clock.advanceAsync(100);
    }

    expect(bench.client.status().state).toBe("jeopardy");
    bench.transport.lastSync.reply.resolve(emptySync(everywhere(0)));
    bench.transport.syncAt = everywhere(0);
    await bench.clock.advanceAsync(L_MS / 3);
    expect(bench.client.status().state).toBe("fresh");
  });

  it("is not needed: without it an answer lives on its own lease (FAULTS row 28)", async () => {
    const clock = new ManualClock();
    const transport = new FakeTransport();
    transport.syncAt = undefined;
    await using client = createSessionClient({
      target: "",
      tenantId: "acme",
      clientName: "test",
      clock,
      transport,
    });
    const first = client.validate(TOKEN);
    await clock.advanceAsync(0);
    transport.lastSync.reply.reject(failed("not-implemented"));
    transport.sayOpened();
    transport.lastValidation.reply.resolve(yes());
    await first;
    const sentAt = clock.monotonicMs();
    // It goes on asking for one, as the authority may be upgraded.
    for (let elapsed = 0; elapsed < L_MS; elapsed += 100) {
      expect(client.peek(TOKEN)?.kind).toBe("valid");
      await clock.advanceAsync(100);
      if (transport.syncs.length > 1) transport.lastSync.reply.reject(failed("not-implemented"));
    }
    await clock.advanceAsync(1);

    expect(clock.monotonicMs() - sentAt).toBeGreaterThan(L_MS);
    expect(client.peek(TOKEN)).toBeUndefined();
    expect(client.status().state).toBe("jeopardy");
    expect(transport.syncs.length).toBeGreaterThan(2);
  });

  it("asks again at once while there is more", async () => {
    await using bench = await createBench();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(1_000);
    const asked = bench.transport.syncs.length;
    bench.transport.lastSync.reply.resolve({
      ...emptySync(
        everywhere(0).map((at) => (at.partition === PARTITION ? { ...at, sequence: 9 } : at)),
      ),
      ranges: [batch(0, 4).ranges[0]].flatMap((stretch) => stretch ?? []),
    });
    await bench.clock.advanceAsync(0);

    expect(bench.transport.syncs.length).toBe(asked + 1);
  });

  it("starts over where another deployment answers", async () => {
    await using bench = await createBench();
    await bench.warm();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(1_000);
    bench.transport.lastSync.reply.resolve(emptySync(everywhere(0), "another"));
    await bench.clock.advanceAsync(0);

    expect(bench.client.status().state).toBe("cold");
    expect(bench.client.peek(TOKEN)).toBeUndefined();
    bench.transport.syncAt = everywhere(0);
    await bench.clock.advanceAsync(2_000);
    expect(bench.transport.lastStream.call).toMatchObject({ deploymentId: "d" });
    expect(bench.client.status().state).toBe("fresh");
  });

  it("starts over where its position is refused, and not where it had none (S-24)", async () => {
    await using bench = await createBench();
    bench.transport.syncAt = undefined;
    await bench.clock.advanceAsync(1_000);
    bench.transport.lastSync.reply.reject(failed("wrong-deployment"));
    await bench.clock.advanceAsync(2_000);

    expect(bench.transport.lastSync.call).toMatchObject({ position: [], deploymentId: "" });
    bench.transport.lastSync.reply.reject(failed("invalid-field"));
    const streams = bench.transport.streams.length;
    await bench.clock.advanceAsync(100);
    expect(bench.transport.streams.length).toBe(streams);
  });
});

describe("the stream", () => {
  it("is opened again from the position reached, through any end", async () => {
    await using bench = await createBench();
    bench.transport.say(batch(0, 3));
    for (const reason of ["unreachable", "watcher-too-slow", "cancelled", "internal"] as const) {
      const streams = bench.transport.streams.length;
      bench.transport.lastStream.listener.onEnd(failed(reason));
      await bench.clock.advanceAsync(2_000);

      expect(bench.transport.streams.length).toBe(streams + 1);
      expect(bench.transport.lastStream.call.position).toContainEqual(rev(3, 1, PARTITION));
    }
  });

  it("backs off up to two seconds while it cannot be opened", async () => {
    await using bench = await createBench();
    const { transport, clock } = bench;
    for (let attempt = 0; attempt < 10; attempt += 1) {
      transport.lastStream.listener.onEnd(failed("unreachable"));
      await clock.advanceAsync(2_000);
    }
    const streams = transport.streams.length;
    transport.lastStream.listener.onEnd(failed("unreachable"));
    await clock.advanceAsync(999);
    expect(transport.streams.length).toBe(streams);
    await clock.advanceAsync(1);
    expect(transport.streams.length).toBe(streams + 1);
  });

  it("waits as long as the authority asks, and a random time on top", async () => {
    await using bench = await createBench();
    const { transport, clock } = bench;
    transport.lastStream.listener.onEnd(failed("too-many-watchers", 1_000));
    // Half of the first 50 ms of backoff.
    await clock.advanceAsync(1_024);
    expect(transport.streams.length).toBe(1);
    await clock.advanceAsync(1);
    expect(transport.streams.length).toBe(2);
  });

  it("is replaced within the window of a goodbye before the old one is let go", async () => {
    await using bench = await createBench();
    const old = bench.transport.lastStream;
    bench.transport.say({ kind: "goaway", reconnectWithinMs: 1_000 });
    await bench.clock.advanceAsync(499);
    expect(bench.transport.streams.length).toBe(1);
    await bench.clock.advanceAsync(1);
    expect(bench.transport.streams.length).toBe(2);
    expect(old.isCancelled).toBe(false);
    bench.transport.sayOpened();

    expect(old.isCancelled).toBe(true);
    expect(bench.client.status().isStreaming).toBe(true);
  });

  it("is heard no more once it was given up", async () => {
    await using bench = await createBench();
    const old = bench.transport.lastStream;
    old.listener.onEnd(failed("unreachable"));
    old.listener.onMessage(batch(0, 1, ended(1)));

    expect(bench.client.status().tombstones).toBe(0);
  });
});

describe("ready", () => {
  it("waits for a lease, unless the authority says that for now there is none to be had", async () => {
    const transport = new FakeTransport();
    transport.syncAt = undefined;
    const clock = new ManualClock();
    await using client = createSessionClient({
      target: "",
      tenantId: "acme",
      clientName: "test",
      transport,
      clock,
    });
    let isReady = false;
    const waiting = client.ready().then(() => {
      isReady = true;
    });
    await clock.advanceAsync(1);
    expect(isReady).toBe(false);

    transport.lastSync.reply.resolve({ ...emptySync(everywhere(0)), maxStalenessMs: 0 });
    await waiting;

    expect(client.status().state).toBe("jeopardy");
  });

  it("is refused when the caller gives up", async () => {
    const transport = new FakeTransport();
    transport.syncAt = undefined;
    const clock = new ManualClock();
    await using client = createSessionClient({
      target: "",
      tenantId: "acme",
      clientName: "test",
      transport,
      clock,
    });
    const controller = new AbortController();
    const waiting = client.ready({ signal: controller.signal });
    controller.abort();

    await expect(waiting).rejects.toMatchObject({ reason: "cancelled" });
  });
});
