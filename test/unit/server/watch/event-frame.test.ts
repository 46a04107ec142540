import { eventCodec } from "#server/rpc/event-codec.js";
import { assembleFrame } from "#server/watch/event-frame.js";
import type { RingEntry } from "#server/watch/event-ring.js";
import { createTenantFilter } from "#server/watch/tenant-filter.js";
import { describe, expect, it } from "vitest";

function entries(count: number, bytes: number): RingEntry[] {
  return Array.from({ length: count }, (_, index) => ({
    revision: { partition: 0, generation: 1, sequence: index + 1 },
    tenantId: index % 2 === 0 ? "even" : "odd",
    bytes: new Uint8Array(bytes),
  }));
}

function through(count: number, bytes: number, tenants?: string[]): number | undefined {
  const frame = assembleFrame(
    {
      announced: { partition: 0, generation: 1, sequence: 0 },
      entries: entries(count, bytes),
      through: { partition: 0, generation: 1, sequence: 10_000 },
      filter: createTenantFilter(tenants),
    },
    eventCodec,
  );
  return frame.bytes === undefined ? undefined : frame.through.sequence;
}

describe("assembleFrame", () => {
  it("reaches as far as its source where everything fits", () => {
    expect(through(256, 10)).toBe(10_000);
  });

  it("ends at the last event that fits: 256 events", () => {
    expect(through(257, 10)).toBe(256);
  });

  it("ends at the last event that fits: 32 KB", () => {
    expect(through(32, 1024)).toBe(10_000);
    expect(through(33, 1024)).toBe(32);
  });

  it("takes one event that is larger alone", () => {
    expect(through(2, 40_000)).toBe(1);
  });

  it("covers what is filtered out before the event that does not fit", () => {
    expect(through(513, 10, ["even"])).toBe(512);
  });

  it("needs no message where the filter lets nothing through", () => {
    expect(through(10, 10, ["other"])).toBeUndefined();
  });
});
