import type { Revision } from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../support/eventually.js";
import { StrictReader } from "../unit/server/watch/apply-stream.js";
import { startWatchAuthority, type TestWatch, type WatchAuthority } from "./watch-client.js";

// Connections age in a fraction of a second and are cut long after the test is over: what ends a
// watch here is the server's handler, told by the age of the connection and by nothing else.
const CONNECTIONS = { ageMs: 400, ageGraceMs: 600_000 };

let server: WatchAuthority;
let deploymentId: string;

beforeEach(async () => {
  server = await startWatchAuthority({
    maxStalenessMs: 1000,
    connections: CONNECTIONS,
    watch: { reconnectWithinMs: 100 },
  });
  deploymentId = await server.store.deploymentId();
});

afterEach(async () => {
  await server.close();
});

describe("a connection that reaches its age", () => {
  it("ends no watch that was not told to reconnect, nor one that opened late (DESIGN §7)", async () => {
    const first = server.watch();
    const watches = [first];
    // They all share a connection until it takes no more.
    await eventually(
      () => {
        watches.push(server.watch());
        return first.kinds().includes("goaway");
      },
      { intervalMs: 25 },
    );

    await Promise.all(watches.map(({ ended }) => ended));

    for (const watch of watches) {
      expect(watch.kinds().filter((kind) => kind === "goaway")).toHaveLength(1);
      expect(watch.refusal).toMatchObject({ code: "UNAVAILABLE", reason: "DRAINING" });
    }
  }, 20_000);

  it("fails no call (R10)", async () => {
    // A Sync takes 20 ms, so these see a few connections end.
    for (let calls = 0; calls < 80; calls += 1) {
      expect((await server.sync()).deploymentId).toBe(deploymentId);
    }
  }, 20_000);

  it("costs a watch that resumes no event (FAULTS row 25)", async () => {
    let newest = server.watch();
    const streams = [newest];
    const sent: string[] = [];
    await eventually(() => newest.messages.length > 0);

    await eventually(
      async () => {
        sent.push(await server.revoke(sent.length % 16));
        if (newest.kinds().includes("goaway")) {
          newest = server.watch({ position: positionOf(newest), deploymentId });
          streams.push(newest);
        }
        return streams.length > 3;
      },
      { timeoutMs: 20_000 },
    );
    const last = await server.revoke(0);
    await eventually(() => newest.eventIds().includes(last));

    const got = streams.flatMap((stream) => stream.eventIds());
    expect(new Set(got)).toEqual(new Set([...sent, last]));
    for (const stream of streams) {
      expect(new StrictReader().readAll(stream.messages).resets).toEqual([]);
    }
  }, 30_000);
});

function positionOf(watch: TestWatch): Revision[] {
  return [...new StrictReader().readAll(watch.messages).applied.values()];
}
