import { describe, expect, it } from "vitest";

import {
  findExpiry,
  idleDeadlineMs,
  isTouchDue,
  nextDeadlineMs,
} from "#server/session/liveness.js";

const lifetime = { lastSeenAtMs: 1_000, idleTimeoutMs: 60_000, absoluteDeadlineMs: 100_000 };

describe("an expiry", () => {
  it.each([
    [60_999, undefined],
    [61_000, "expired-idle"],
    [61_001, "expired-idle"],
    [99_999, "expired-idle"],
    [100_000, "expired-absolute"],
    [100_001, "expired-absolute"],
  ])("at %i is %s", (nowMs, outcome) => {
    expect(findExpiry(lifetime, nowMs)?.outcome).toBe(outcome);
  });

  it("happened at the deadline, whenever it is looked at", () => {
    expect(findExpiry(lifetime, 70_000)?.end.atMs).toBe(61_000);
    expect(findExpiry(lifetime, 700_000)?.end.atMs).toBe(100_000);
  });

  it("of idleness does not exist where the timeout is zero", () => {
    const endless = { ...lifetime, idleTimeoutMs: 0 };

    expect(findExpiry(endless, 99_999)).toBeUndefined();
    expect(idleDeadlineMs(endless)).toBe(Number.POSITIVE_INFINITY);
    expect(nextDeadlineMs(endless)).toBe(100_000);
  });

  it("comes at the first of both deadlines", () => {
    expect(nextDeadlineMs(lifetime)).toBe(61_000);
    expect(nextDeadlineMs({ ...lifetime, absoluteDeadlineMs: 50_000 })).toBe(50_000);
  });
});

describe("a touch", () => {
  it.each([
    { name: "the touch interval", touchIntervalMs: 10_000, idleTimeoutMs: 60_000, dueMs: 10_000 },
    { name: "a quarter of idle", touchIntervalMs: 60_000, idleTimeoutMs: 60_000, dueMs: 15_000 },
    { name: "the interval alone", touchIntervalMs: 60_000, idleTimeoutMs: 0, dueMs: 60_000 },
  ])("is due after $name", ({ touchIntervalMs, idleTimeoutMs, dueMs }) => {
    const policy = { ...lifetime, touchIntervalMs, idleTimeoutMs };

    expect(isTouchDue(policy, 1_000 + dueMs - 1)).toBe(false);
    expect(isTouchDue(policy, 1_000 + dueMs)).toBe(true);
  });

  it("is never due at or before the last use, however short the interval", () => {
    const policy = { ...lifetime, touchIntervalMs: 0 };

    expect(isTouchDue(policy, 1_000)).toBe(false);
    expect(isTouchDue(policy, 999)).toBe(false);
    expect(isTouchDue(policy, 1_001)).toBe(true);
  });
});
