import type { Revision } from "#server/session/revision.js";
import { EventRing, type RingEntry } from "#server/watch/event-ring.js";
import { describe, expect, it } from "vitest";

function at(sequence: number, generation = 7): Revision {
  return { partition: 3, generation, sequence };
}

function entry(sequence: number, generation = 7): RingEntry {
  return { revision: at(sequence, generation), tenantId: "acme", bytes: new Uint8Array() };
}

function filled(capacity: number, count: number): EventRing {
  const ring = new EventRing(capacity, at(10));
  for (let index = 1; index <= count; index += 1) ring.append(entry(10 + index));
  return ring;
}

describe("EventRing", () => {
  it("keeps what it is given until it is full", () => {
    const ring = filled(4, 4);

    expect(ring.start).toEqual(at(10));
    expect(ring.slice(at(10), ring.head, 10).map(({ revision }) => revision.sequence)).toEqual([
      11, 12, 13, 14,
    ]);
  });

  it("drops the oldest when it overflows, and says so by its start", () => {
    const ring = filled(4, 5);

    expect(ring.start).toEqual(at(11));
    expect(ring.locate(at(10))).toBe("before");
    expect(ring.locate(at(11))).toBe("inside");
    expect(ring.slice(at(11), ring.head, 10).map(({ revision }) => revision.sequence)).toEqual([
      12, 13, 14, 15,
    ]);
  });

  it("places its head, what is ahead of it, and other generations", () => {
    const ring = filled(4, 2);

    expect(ring.locate(at(12))).toBe("current");
    expect(ring.locate(at(13))).toBe("after");
    expect(ring.locate(at(0, 8))).toBe("after");
    expect(ring.locate(at(12, 6))).toBe("before");
  });

  it("refuses a hole and a change of generation", () => {
    const ring = filled(4, 2);

    expect(() => {
      ring.append(entry(14));
    }).toThrow("Cannot append sequence 14 to the ring of partition 3: its head is 12");
    expect(() => {
      ring.append(entry(13, 8));
    }).toThrow("Cannot append");
  });

  it("is empty at its new place after a restart", () => {
    const ring = filled(4, 4);

    ring.restart(at(0, 8));

    expect(ring.locate(at(14))).toBe("before");
    expect(ring.locate(at(0, 8))).toBe("current");
    ring.append(entry(1, 8));
    expect(ring.slice(at(0, 8), ring.head, 10)).toHaveLength(1);
  });
});
