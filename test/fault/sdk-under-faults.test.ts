import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SessionClient } from "@coatcheck/client";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { startService, type Service } from "#server/cli/demo/cast.js";
import type { Seen } from "#server/cli/demo/messages.js";
import { createAuthority, type Authority } from "#server/server.js";

import { eventually } from "../support/eventually.js";
import { createService, msUntilDropped, say, warm } from "../support/services.js";

/*
 * FAULTS, first matrix, rows 3 to 7 and 11: an SDK between healthy processes and
 * a network that is not. What must hold is I1: nothing is accepted from memory
 * later than L after its revocation committed.
 */

const L_MS = 1_000;
/** 500 ppm of L is half a millisecond; the rest is this test's own polling. */
const SLACK_MS = 60;
const TEST_MS = 30_000;

let authority: Authority;
let calls: CutProxy;
let streams: CutProxy;
let issuer: SessionClient;

beforeEach(async () => {
  authority = await createAuthority({ maxStalenessMs: L_MS });
  calls = await startCutProxy({ targetPort: authority.port });
  streams = await startCutProxy({ targetPort: authority.port });
  issuer = createService(authority.address);
});

afterEach(async () => {
  await issuer.close();
  await authority.close();
  await Promise.all([calls.close(), streams.close()]);
});

/** The ways a network takes the truth away from a client without telling it. */
const FAULTS: readonly { readonly name: string; readonly begin: () => void }[] = [
  {
    name: "only what comes from the server is held back, so that it arrives late and looks new",
    begin: () => {
      calls.stall("server-to-client");
      streams.stall("server-to-client");
    },
  },
  {
    name: "only what goes to the server is held back",
    begin: () => {
      calls.stall("client-to-server");
      streams.stall("client-to-server");
    },
  },
  {
    name: "everything is lost and no connection notices",
    begin: () => {
      calls.blackhole();
      streams.blackhole();
    },
  },
  {
    name: "every connection is reset",
    begin: () => {
      calls.cut();
      streams.cut();
    },
  },
];

describe.each(FAULTS)("while $name", ({ begin }) => {
  it(
    "a revoked session is gone from memory within L, then nobody can say, and all recovers",
    async () => {
      const service = createService(calls.address, { watchTarget: streams.address });
      await service.ready({ signal: AbortSignal.timeout(10_000) });
      const revoked = await issuer.create({ subject: "ada" });
      const other = await issuer.create({ subject: "bob" });
      const token = revoked.token.reveal();
      const otherToken = other.token.reveal();
      await warm(service, token);
      await warm(service, otherToken);

      begin();
      await issuer.revoke({ sessionId: revoked.session.sessionId });
      const committedAtMs = performance.now();
      const droppedAfterMs = await msUntilDropped(service, token, committedAtMs);

      expect(droppedAfterMs).toBeLessThanOrEqual(L_MS + SLACK_MS);
      await eventually(() => service.peek(otherToken) === undefined);
      expect(await say(service, otherToken)).toBe("unavailable");

      calls.heal();
      streams.heal();
      await eventually(() => service.status().state === "fresh", { timeoutMs: 10_000 });
      expect(await say(service, token)).toBe("revoked");
      expect(await say(service, otherToken)).toBe("valid");
      await service.close();
    },
    TEST_MS,
  );
});

describe("the stream alone", () => {
  it(
    "does not keep the lease: with Sync blocked and the stream alive it lapses (row 7)",
    async () => {
      const service = createService(calls.address, { watchTarget: streams.address });
      await service.ready({ signal: AbortSignal.timeout(10_000) });
      const { token } = await issuer.create({ subject: "ada" });
      await warm(service, token.reveal());
      await eventually(() => service.status().isStreaming);

      calls.cut();
      await eventually(() => service.peek(token) === undefined, { timeoutMs: 3 * L_MS });

      expect(service.status()).toMatchObject({ state: "jeopardy", isStreaming: true });
      await service.close();
    },
    TEST_MS,
  );
});

describe("a service process", () => {
  let service: Service;

  beforeEach(async () => {
    service = await startService("stopped", {
      target: calls.address,
      watchTarget: streams.address,
    });
  });

  afterEach(() => {
    service.kill();
  });

  it(
    "that was stopped (SIGSTOP) past L accepts nothing from memory when it goes on (row 3)",
    async () => {
      const { token, session } = await issuer.create({ subject: "ada" });
      async function ask(): Promise<Seen> {
        return await service.ask("validate", { token: token.reveal() });
      }
      await eventually(async () => (await ask()).source === "cache");
      // The answer must come from memory or not at all: nobody is there to be asked.
      calls.stall("both");
      streams.stall("both");

      process.kill(service.pid, "SIGSTOP");
      await issuer.revoke({ sessionId: session.sessionId });
      const stoppedAtMs = performance.now();
      await eventually(() => performance.now() - stoppedAtMs > L_MS + SLACK_MS);
      process.kill(service.pid, "SIGCONT");

      expect(await ask()).toMatchObject({ kind: "unavailable" });
      calls.heal();
      streams.heal();
      await eventually(async () => (await ask()).outcome === "revoked", { timeoutMs: 10_000 });
    },
    TEST_MS,
  );
});
