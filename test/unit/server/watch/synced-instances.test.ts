import { describe, expect, it } from "vitest";

import { type SyncReport, SyncedInstances } from "#server/watch/synced-instances.js";

import { ManualClock } from "../../../support/manual-clock.js";

function report(instanceId: string, overrides: Partial<SyncReport> = {}): SyncReport {
  return {
    identity: { clientName: "orders", instanceId, sdkVersion: "1.0.0" },
    position: [],
    staleAllowed: false,
    staleAccepts: 0,
    ...overrides,
  };
}

describe("the instances that synced lately", () => {
  it("are one for each process, with the sum of its stale answers and its last Sync", () => {
    const clock = new ManualClock();
    const instances = new SyncedInstances(clock);
    instances.note(report("a", { staleAccepts: 2 }));
    clock.advance(1_000);
    instances.note(report("a", { staleAccepts: 3, staleAllowed: true }));
    clock.advance(500);

    expect(instances.list()).toEqual([
      { ...report("a", { staleAccepts: 5, staleAllowed: true }), lastSyncAgeMs: 500 },
    ]);
  });

  it("are forgotten after a minute of silence, and not before", () => {
    const clock = new ManualClock();
    const instances = new SyncedInstances(clock);
    instances.note(report("a"));
    clock.advance(1);
    instances.note(report("b"));

    clock.advance(59_999);
    expect(instances.list()).toHaveLength(2);
    clock.advance(1);
    expect(instances.list()).toMatchObject([{ identity: { instanceId: "b" } }]);
  });

  it("are bounded: of 10,001 the longest silent is forgotten", () => {
    const instances = new SyncedInstances(new ManualClock());
    for (let index = 0; index < 10_000; index += 1) instances.note(report(`i${index}`));
    instances.note(report("i0"));
    instances.note(report("one more"));

    const names = new Set(instances.list().map(({ identity }) => identity.instanceId));
    expect(names.size).toBe(10_000);
    expect([names.has("i0"), names.has("i1"), names.has("one more")]).toEqual([true, false, true]);
  });
});
