import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { ReapQueue } from "#server/store/memory/reap-queue.js";

describe("the reaper's queue", () => {
  it("gives ids in the order of their latest appointments, each once", () => {
    const id = fc.nat({ max: 20 }).map((number) => `s${number}`);
    const change = fc.oneof(
      fc.record({ kind: fc.constant("set"), id, atMs: fc.nat({ max: 100 }) }),
      fc.record({ kind: fc.constant("delete"), id, atMs: fc.constant(0) }),
    );

    fc.assert(
      fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
        const queue = new ReapQueue();
        const expected = new Map<string, number>();
        for (const { kind, id: sessionId, atMs } of changes) {
          if (kind === "set") {
            queue.set(sessionId, atMs);
            expected.set(sessionId, atMs);
          } else {
            queue.delete(sessionId);
            expected.delete(sessionId);
          }
        }

        expect(queue.size).toBe(expected.size);
        let lastMs = -1;
        for (let next = queue.firstDue(100); next !== undefined; next = queue.firstDue(100)) {
          const atMs = expected.get(next) ?? expect.fail(`unknown id ${next}`);
          expect(atMs).toBeGreaterThanOrEqual(lastMs);
          lastMs = atMs;
          expected.delete(next);
          queue.delete(next);
        }
        expect(expected.size).toBe(0);
      }),
    );
  });

  it("gives nothing before its time", () => {
    const queue = new ReapQueue();
    queue.set("a", 1_000);

    expect(queue.firstDue(999)).toBeUndefined();
    expect(queue.firstDue(1_000)).toBe("a");
    queue.set("a", 2_000);
    expect(queue.firstDue(1_999)).toBeUndefined();
  });
});
