import { constants } from "node:http2";

import { status as GrpcCode } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../support/eventually.js";
import { StrictReader } from "../unit/server/watch/apply-stream.js";
import { startWatchAuthority, type WatchAuthority } from "./watch-client.js";

let server: WatchAuthority;

beforeEach(async () => {
  server = await startWatchAuthority({ maxStalenessMs: 1000, watch: { watchersMax: 300 } });
});

afterEach(async () => {
  await server.close();
});

describe("a burst", () => {
  it("of 100,000 events reaches a reading watcher whole and in order (FAULTS row 12)", async () => {
    const watch = server.watch();
    await eventually(() => watch.messages.length > 0);
    const sent: string[][] = Array.from({ length: 16 }, () => []);

    for (let index = 0; index < 100_000; index += 1) {
      const partition = index % 16;
      sent[partition]?.push(await server.revoke(partition));
      // As a caller over the network would: the server gets turns of its event loop.
      if (index % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => watch.eventIds().length === 100_000, { timeoutMs: 30_000 });

    const reader = new StrictReader().readAll(watch.messages);
    expect(reader.resets).toEqual([]);
    const got: string[][] = Array.from({ length: 16 }, () => []);
    for (const { body } of watch.messages) {
      if (body?.$case !== "batch") continue;
      for (const { revision, eventId } of body.value.events) {
        got[revision?.partition ?? 0]?.push(eventId);
      }
    }
    expect(got).toEqual(sent);
  }, 60_000);
});

/** Commits events, 500 at a time, until `check` is true; returns their ids. */
async function revokeUntil(check: () => boolean): Promise<string[]> {
  const sent: string[] = [];
  await eventually(
    async () => {
      for (let index = 0; index < 500; index += 1) sent.push(await server.revoke(index % 16));
      return check();
    },
    { timeoutMs: 20_000 },
  );
  return sent;
}

describe("a client that never reads", () => {
  it("is cut after L and frees its place, and the others get every event (FAULTS row 11, S-40)", async () => {
    const reader = server.watch();
    await eventually(() => reader.messages.length > 0);
    server.stuckWatch();
    await eventually(() => server.authority.stats().watchers === 2);

    const sent = await revokeUntil(() => server.authority.stats().watchers === 1);

    await eventually(() => reader.eventIds().length === sent.length);
    expect(new Set(reader.eventIds())).toEqual(new Set(sent));
    new StrictReader().readAll(reader.messages);
  }, 30_000);

  it("is told RESOURCE_EXHAUSTED where it reads again in time", async () => {
    const stuck = server.stuckWatch();
    await eventually(() => server.authority.stats().watchers === 1);
    await revokeUntil(() => server.authority.stats().watchers === 0);

    expect(await stuck.status()).toBe(String(GrpcCode.RESOURCE_EXHAUSTED));
  }, 30_000);

  it("has its stream reset where it does not, so that nothing of it stays", async () => {
    const stuck = server.stuckWatch();
    await eventually(() => server.authority.stats().watchers === 1);
    await revokeUntil(() => server.authority.stats().watchers === 0);

    // gRPC maps this code to RESOURCE_EXHAUSTED.
    expect(await stuck.resetCode()).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }, 30_000);
});

describe("a storm", () => {
  it("of 200 watches opened and cancelled leaves none behind (FAULTS row 13)", async () => {
    const watches = Array.from({ length: 200 }, () => server.watch());
    for (const [index, watch] of watches.entries()) {
      if (index % 3 === 0) watch.call.cancel();
      else if (index % 3 === 1) {
        await eventually(() => watch.messages.length > 0);
        watch.call.cancel();
      } else {
        setImmediate(() => {
          watch.call.cancel();
        });
      }
    }

    await eventually(() => server.authority.stats().watchers === 0);

    const alive = server.watch();
    await eventually(() => alive.messages.length > 0);
    const eventId = await server.revoke(1);
    await eventually(() => alive.eventIds().includes(eventId));
  });

  it("of more watches than there is room for is refused beyond that, and room comes back", async () => {
    const watches = Array.from({ length: 301 }, (_, index) =>
      server.watch({}, { client: index < 200 ? server.client : other() }),
    );
    await eventually(() => watches.some(({ refusal }) => refusal !== undefined));
    expect(watches.filter(({ refusal }) => refusal !== undefined)).toHaveLength(1);
    expect(watches.find(({ refusal }) => refusal !== undefined)?.refusal).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_WATCHERS",
    });

    for (const watch of watches) watch.call.cancel();

    await eventually(() => server.authority.stats().watchers === 0);
    const alive = server.watch();
    await eventually(() => alive.messages.length > 0);
  });

  let second: ReturnType<WatchAuthority["connect"]> | undefined;
  function other(): ReturnType<WatchAuthority["connect"]> {
    second ??= server.connect();
    return second;
  }
});

describe("a drain", () => {
  it("says goaway, then ends streams with UNAVAILABLE from the handler, and refuses new ones", async () => {
    const watch = server.watch();
    await eventually(() => watch.messages.length > 0);

    const drained = server.authority.drain();
    await eventually(() => watch.kinds().includes("goaway"));
    const late = server.watch();
    await Promise.all([watch.ended, late.ended]);
    await drained;

    expect(watch.refusal).toMatchObject({ code: "UNAVAILABLE", reason: "DRAINING" });
    expect(late.refusal?.code).toBe("UNAVAILABLE");
  });

  it("serves its watchers until the window in which they reconnect is over (R10)", async () => {
    const slow = await startWatchAuthority({ drainReconnectMs: 3000 });
    const watch = slow.watch();
    await eventually(() => watch.messages.length > 0);
    const drained = slow.authority.drain();
    await eventually(() => watch.kinds().includes("goaway"));

    // For longer than anything else in a drain takes.
    const sent: string[] = [];
    const sinceMs = performance.now();
    await eventually(async () => {
      sent.push(await slow.revoke(3));
      return performance.now() - sinceMs > 600;
    });
    await eventually(() => watch.eventIds().length === sent.length);

    expect(watch.eventIds()).toEqual(sent);
    await drained;
    await watch.ended;
    expect(watch.refusal).toMatchObject({ code: "UNAVAILABLE", reason: "DRAINING" });
    await slow.close();
  }, 20_000);

  it("that is cut short ends streams from their handlers all the same", async () => {
    const watch = server.watch();
    await eventually(() => watch.messages.length > 0);

    await server.authority.close();
    await watch.ended;

    expect(watch.refusal).toMatchObject({ code: "UNAVAILABLE", reason: "DRAINING" });
  });

  it("ends a stream whose client does not read, too", async () => {
    server.stuckWatch();
    await eventually(() => server.authority.stats().watchers === 1);
    await revokeUntil(() => true);

    await server.authority.drain();

    expect(server.authority.stats().watchers).toBe(0);
  });
});
