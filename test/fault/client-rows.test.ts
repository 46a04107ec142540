import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SessionClient, Token, Validation } from "@coatcheck/client";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { createAuthority, type Authority } from "#server/server.js";

import { startChild } from "../support/child.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { createService, msUntilDropped, say, warm } from "../support/services.js";

/*
 * FAULTS' client rows between healthy processes: replies that an event overtakes,
 * a stream or an authority that is not there, an event loop that stands still.
 */

const L_MS = 2_000;
/** This test's own polling, and ρ. */
const SLACK_MS = 60;
const TEST_MS = 30_000;

let authority: Authority;
let calls: CutProxy;
let streams: CutProxy;
let issuer: SessionClient;
let service: SessionClient;

beforeEach(async () => {
  authority = await createAuthority({ maxStalenessMs: L_MS });
  calls = await startCutProxy({ targetPort: authority.port });
  streams = await startCutProxy({ targetPort: authority.port });
  issuer = createService(authority.address);
  service = createService(calls.address, { watchTarget: streams.address });
  await service.ready({ signal: AbortSignal.timeout(10_000) });
  await eventually(() => service.status().isStreaming);
});

afterEach(async () => {
  await Promise.all([service.close(), issuer.close()]);
  await authority.close();
  await Promise.all([calls.close(), streams.close()]);
});

/** Asks, and returns once the authority has answered; the answer waits in the proxy. */
async function holdAnswer(token: Token): Promise<{ readonly answer: Promise<Validation> }> {
  const sent = calls.bytes["client-to-server"];
  calls.stall("server-to-client");
  const answer = service.validate(token);
  await eventually(() => calls.bytes["client-to-server"] > sent);
  // Two questions more, on a connection that is free: by then the first one is computed.
  await issuer.list("nobody");
  await issuer.list("nobody");
  return { answer };
}

/** Resolves with the next revocation that the service hears of. */
async function nextRevocation(): Promise<void> {
  await new Promise<void>((resolve) => {
    const stop = service.onRevoked(() => {
      stop();
      resolve();
    });
  });
}

describe("a reply that is held on its way", () => {
  it("does not bring back the session whose end overtook it (rows 8 and 14)", async () => {
    const { token, session } = await issuer.create({ subject: "ada" });
    const held = await holdAnswer(token);
    const heard = nextRevocation();
    await issuer.revoke({ sessionId: session.sessionId });
    await heard;
    calls.heal();

    expect(await held.answer).toMatchObject({ kind: "invalid", outcome: "revoked" });
    expect(service.status().entries).toBe(0);
  });

  it("is nothing to whoever asked once it comes later than L (row 8)", async () => {
    const { token, session } = await issuer.create({ subject: "ada" });
    streams.cut();
    const held = await holdAnswer(token);
    await issuer.revoke({ sessionId: session.sessionId });

    expect((await held.answer).kind).toBe("unavailable");
    const givenUpAtMs = performance.now();
    await eventually(() => performance.now() - givenUpAtMs > L_MS);
    calls.heal();
    await eventually(() => service.status().state === "fresh", { timeoutMs: 10_000 });

    expect(service.peek(token)?.kind).not.toBe("valid");
    expect(await say(service, token.reveal())).toBe("revoked");
  });

  it("is denied where its subject was logged out, a subject never heard of (row 9)", async () => {
    const { token } = await issuer.create({ subject: "ada" });
    const held = await holdAnswer(token);
    const heard = nextRevocation();
    await issuer.revokeSubject("ada");
    await heard;
    calls.heal();

    expect(await held.answer).toMatchObject({ kind: "invalid", outcome: "revoked" });
    expect(service.status().entries).toBe(0);
  });

  it("keeps nothing open once the client is closed", async () => {
    const { token } = await issuer.create({ subject: "ada" });
    const held = await holdAnswer(token);
    const closing = service.close();

    expect(await held.answer).toEqual({ kind: "unavailable", reason: "closed" });
    await closing;
    await eventually(() => streams.connectionCount === 0);
  });
});

describe("a login right after the subject was logged out everywhere", () => {
  it("lives, in memory too, while the sessions before it are dead (row 10, I11)", async () => {
    const before = await issuer.create({ subject: "ada" });
    await warm(service, before.token.reveal());
    for (let logins = 0; logins < 20; logins += 1) {
      const heard = nextRevocation();
      await issuer.revokeSubject("ada");
      const after = await issuer.create({ subject: "ada" });
      expect(await say(service, after.token.reveal())).toBe("valid");
      await heard;
      await warm(service, after.token.reveal());
      expect(await say(service, before.token.reveal())).toBe("revoked");
    }
  });
});

describe("without the stream", () => {
  it(
    "Sync alone keeps the cache fresh and drops what was revoked within L (row 6)",
    async () => {
      const { token, session } = await issuer.create({ subject: "ada" });
      const other = await issuer.create({ subject: "bob" });
      await warm(service, token.reveal());
      await warm(service, other.token.reveal());
      streams.cut();
      await eventually(() => !service.status().isStreaming);

      await issuer.revoke({ sessionId: session.sessionId });
      const droppedAfterMs = await msUntilDropped(service, token.reveal(), performance.now());

      expect(droppedAfterMs).toBeLessThanOrEqual(L_MS + SLACK_MS);
      expect(service.status().state).toBe("fresh");
      expect(service.peek(other.token)?.kind).toBe("valid");
    },
    TEST_MS,
  );
});

describe("a system in which nothing happens", () => {
  it(
    "keeps every partition fresh, and the first revocation after it is heard of (row 16)",
    async () => {
      const { token, session } = await issuer.create({ subject: "ada" });
      await warm(service, token.reveal());
      const { resets, syncFailures } = service.status().counters;
      const states = new Set<string>();
      const quietSinceMs = performance.now();
      await eventually(
        () => {
          for (const { state } of service.status().partitions) states.add(state);
          return performance.now() - quietSinceMs > 2 * L_MS;
        },
        { timeoutMs: 4 * L_MS },
      );
      expect([...states]).toEqual(["fresh"]);

      await issuer.revoke({ sessionId: session.sessionId });
      const droppedAfterMs = await msUntilDropped(service, token.reveal(), performance.now());
      expect(droppedAfterMs).toBeLessThanOrEqual(L_MS + SLACK_MS);
      expect(service.status().counters).toMatchObject({ resets, syncFailures });
    },
    TEST_MS,
  );
});

describe("an authority that cannot be reached for a while", () => {
  it(
    "logs nobody out, and needs nobody to come back (row 29)",
    async () => {
      const tokens: string[] = [];
      for (let index = 0; index < 50; index += 1) {
        tokens.push((await issuer.create({ subject: `user-${index}` })).token.reveal());
      }
      for (const token of tokens) await warm(service, token);
      const follows = tokens.map((token) => service.follow(token));
      calls.cut();
      streams.cut();
      // An entry may outlive its partition's lease by its own question's.
      await eventually(() => tokens.every((token) => service.peek(token) === undefined), {
        timeoutMs: 3 * L_MS,
      });

      const away = await Promise.all(tokens.map(async (token) => await say(service, token)));
      expect(new Set(away)).toEqual(new Set(["unavailable"]));
      calls.heal();
      streams.heal();
      await eventually(() => service.status().state === "fresh", { timeoutMs: 10_000 });

      // A gapless resume: memory answers again, and the authority is not asked 50 times.
      const back = tokens.map((token) => service.peek(token)?.kind);
      expect(new Set(back)).toEqual(new Set(["valid"]));
      expect(follows.filter(({ signal }) => signal.aborted)).toEqual([]);
    },
    TEST_MS,
  );
});

describe("an event loop that stands still for 5 s", () => {
  it(
    "accepts nothing from memory when it goes on, before it has heard anything (row 4)",
    async () => {
      const port = await freePort();
      const address = `127.0.0.1:${String(port)}`;
      const remote = startChild("server/src/main.ts", {
        env: {
          COATCHECK_LISTEN: address,
          COATCHECK_REDIS_URL: undefined,
          COATCHECK_LOG_LEVEL: "warn",
        },
      });
      await remote.waitForLine(/listens on/);
      await using blocked = createService(address);
      await blocked.ready({ signal: AbortSignal.timeout(10_000) });
      const { token, session } = await blocked.create({ subject: "ada" });
      await warm(blocked, token.reveal());
      const revoker = startChild("test/support/revoke-later.ts", {
        args: [address, session.sessionId, "200"],
      });
      await revoker.waitForLine(/ready/);

      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_000);

      // The event is in a socket buffer that nobody has read yet.
      expect(blocked.status().tombstones).toBe(0);
      expect(blocked.peek(token)).toBeUndefined();
      expect(await say(blocked, token.reveal())).not.toBe("valid");
      await eventually(async () => (await say(blocked, token.reveal())) === "revoked");
      await revoker.waitForLine(/revoked/);
      await remote.kill();
    },
    TEST_MS,
  );
});

describe("a service's memory", () => {
  it(
    "holds no token after 10,000 validations, and nothing holds the process (S-20, B-17)",
    async () => {
      const probe = startChild("test/support/heap-probe.ts", {
        args: [authority.address, "1000"],
        nodeArgs: ["--expose-gc"],
      });
      const exit = await probe.exited;

      expect(exit, probe.stderr).toEqual({ code: 0, signal: null });
      expect(JSON.parse(probe.stdout)).toMatchObject({ found: 1, keepsOwn: true });
    },
    2 * TEST_MS,
  );
});
