import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SessionClient } from "@coatcheck/client";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { createAuthority, type Authority } from "#server/server.js";

import { eventually } from "../support/eventually.js";
import { createService, say, warm } from "../support/services.js";

/*
 * FAULTS, first matrix row 5, second matrix rows 10 and 11: a connection whose
 * peer went without a word. TCP takes minutes to notice and keepalive half a
 * minute; a client that goes on asking on it is down for as long, although the
 * authority is there and would take a new connection.
 */

const L_MS = 1_000;
const TEST_MS = 30_000;
/** Keepalive alone would need 30 s: what is recovered within this was recovered by us. */
const RECOVERED_WITHIN_MS = 10_000;

let authority: Authority;
let proxy: CutProxy;
let issuer: SessionClient;
let service: SessionClient;

beforeEach(async () => {
  authority = await createAuthority({ maxStalenessMs: L_MS });
  proxy = await startCutProxy({ targetPort: authority.port });
  issuer = createService(authority.address);
  service = createService(proxy.address);
  await service.ready({ signal: AbortSignal.timeout(10_000) });
  await eventually(() => service.status().isStreaming);
});

afterEach(async () => {
  await service.close();
  await issuer.close();
  await authority.close();
  await proxy.close();
});

describe("a connection whose peer is gone without a word", () => {
  it(
    "is given up by Sync, by calls and by the stream, long before keepalive notices",
    async () => {
      const { token, session } = await issuer.create({ subject: "ada" });
      const other = await issuer.create({ subject: "bob" });
      await warm(service, token.reveal());

      proxy.abandon();
      await issuer.revoke({ sessionId: session.sessionId });
      await eventually(() => service.status().counters.streamsOpened === 2, {
        timeoutMs: RECOVERED_WITHIN_MS,
      });
      await eventually(() => service.status().state === "fresh");

      expect(await say(service, token.reveal())).toBe("revoked");
      await eventually(async () => (await say(service, other.token.reveal())) === "valid", {
        timeoutMs: RECOVERED_WITHIN_MS,
      });
      expect(service.status().counters.resets).toEqual({ first: 16 });
    },
    TEST_MS,
  );

  it(
    "is given up once more where the new one is as dead, and the dead ones are let go",
    async () => {
      proxy.blackhole();
      await eventually(() => service.status().counters.syncFailures >= 8, {
        timeoutMs: 20_000,
      });
      const connectionsMade = proxy.acceptedCount;
      proxy.heal();

      await eventually(() => service.status().state === "fresh", {
        timeoutMs: RECOVERED_WITHIN_MS,
      });
      expect(connectionsMade).toBeLessThan(20);
      // One for calls, one for Sync, one for the stream; a call was never made.
      await eventually(() => proxy.connectionCount <= 3);
    },
    TEST_MS,
  );
});
