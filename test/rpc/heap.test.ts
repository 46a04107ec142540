// The memory of a service, as somebody sees it who gets a heap dump of it.

import { describe, expect, it } from "vitest";

import { searchHeap } from "../leaks/heap.js";

describe("the memory of a service that links the SDK", () => {
  it("has no token in it after 10,000 validations (S-20, T16)", async () => {
    const found = await searchHeap({ sessions: 1_000, validations: 10_000 });

    expect(found.secrets).toEqual([]);
    // It was the memory of a service at work: it knows the sessions, and answered from it.
    expect(found.kinds).toEqual({ valid: 9_000, revoked: 1_000 });
    expect(found.hits).toBeGreaterThan(5_000);
    expect(found.entries).toBe(900);
    expect(found.sessionIds).toBeGreaterThanOrEqual(900);
  }, 120_000);

  it("is searched such that a token is found where one is kept", async () => {
    const found = await searchHeap({ sessions: 20, validations: 40, isPlanted: true });

    expect(found.secrets).toContainEqual(expect.stringMatching(/^a secret at/));
  }, 120_000);
});
