import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { createAuthority, type Authority } from "#server/server.js";
import { createRedisStore } from "#server/store/redis/redis-store.js";

import type { Rotation, SessionClient } from "@coatcheck/client";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { eventually } from "../support/eventually.js";
import { freshNamespace } from "../support/replica.js";
import { createService, msUntilDropped, say, warm } from "../support/services.js";

/*
 * Two replicas that share nothing but Redis. What one does, the other's watchers
 * see: within milliseconds while Pub/Sub and the stream work, and within L when
 * neither does.
 */

const L_MS = 1_000;

describe.each([
  { name: "with everything in health", pubSub: true, streamBlocked: false },
  { name: "with Pub/Sub disabled and the stream blocked", pubSub: false, streamBlocked: true },
])("two replicas on one Redis, $name", ({ name, pubSub, streamBlocked }) => {
  let a: Authority;
  let b: Authority;
  let streamToB: CutProxy;
  let issuer: SessionClient;
  let service: SessionClient;

  beforeEach(async () => {
    const namespace = freshNamespace();
    async function start(): Promise<Authority> {
      return await createAuthority({
        maxStalenessMs: L_MS,
        createStore: (options) =>
          createRedisStore({
            ...options,
            url: inject("redisUrl"),
            clock: systemClock,
            namespace,
            pubSub,
          }),
      });
    }
    [a, b] = await Promise.all([start(), start()]);
    streamToB = await startCutProxy({ targetPort: b.port });
    if (streamBlocked) streamToB.cut();
    issuer = createService(a.address);
    service = createService(b.address, { watchTarget: streamToB.address });
    await service.ready({ signal: AbortSignal.timeout(10_000) });
  });

  afterEach(async () => {
    await Promise.all([issuer.close(), service.close()]);
    await Promise.all([a.close(), b.close(), streamToB.close()]);
  });

  it("a session created through A validates through B; revoked through A, B's SDK drops it", async () => {
    const created = await issuer.create({ subject: "ada" });
    const token = created.token.reveal();
    await warm(service, token);
    if (!streamBlocked) await eventually(() => service.status().isStreaming);

    const sentAtMs = performance.now();
    const dropped = msUntilDropped(service, token, sentAtMs);
    const revoked = await issuer.revoke({ sessionId: created.session.sessionId });
    const committedAfterMs = performance.now() - sentAtMs;
    const droppedAfterMs = await dropped;

    process.stdout.write(
      `${name}: revoke OK after ${committedAfterMs.toFixed(1)} ms, ` +
        `dropped after ${droppedAfterMs.toFixed(1)} ms (bound ${String(L_MS)} ms)\n`,
    );
    expect(revoked).toMatchObject({ found: true, alreadyRevoked: false });
    // The promise itself (I1), with 5 % for this test's own polling.
    expect(droppedAfterMs).toBeLessThanOrEqual(committedAfterMs + L_MS * 1.05);
    expect(await say(service, token)).toBe("revoked");
    expect(service.status().isStreaming).toBe(!streamBlocked);
  });

  it("a LOGIN rotation through A kills the old token in B's SDK, and what was taken from it", async () => {
    const created = await issuer.create({ subject: "eve" });
    const stolen = created.token.reveal();
    await warm(service, stolen);
    const taken = await service.rotate(stolen, { trigger: "periodic" });
    const takenToken = revealed(taken);
    await warm(service, takenToken);

    const rotated = await issuer.rotate(takenToken, { trigger: "login", aal: 2 });

    for (const old of [stolen, takenToken]) {
      await eventually(() => service.peek(old)?.kind !== "valid", { timeoutMs: 2 * L_MS });
      expect(await say(service, old)).toBe("rotated");
      const again = await service.rotate(old, { trigger: "periodic" });
      expect(again).toMatchObject({ kind: "invalid", outcome: "rotated" });
    }
    expect(await say(service, revealed(rotated))).toBe("valid");
  });

  it("log out everywhere but here spares here, in B's SDK too", async () => {
    const [here, there] = await Promise.all([
      issuer.create({ subject: "ada" }),
      issuer.create({ subject: "ada" }),
    ]);
    await warm(service, here.token.reveal());
    await warm(service, there.token.reveal());

    await issuer.revokeSubject("ada", { exceptSessionId: here.session.sessionId });
    const dropped = msUntilDropped(service, there.token.reveal(), performance.now());

    await expect(dropped).resolves.toBeLessThanOrEqual(L_MS * 1.05);
    expect(await say(service, there.token.reveal())).toBe("revoked");
    expect(await say(service, here.token.reveal())).toBe("valid");
    // A login right after it, at the other replica, is not caught by the cutoff.
    const later = await service.create({ subject: "ada" });
    expect(await say(service, later.token.reveal())).toBe("valid");
  });
});

function revealed(rotation: Rotation): string {
  if (rotation.kind !== "rotated") throw new Error(`Not rotated: ${rotation.outcome}`);
  return rotation.token.reveal();
}
