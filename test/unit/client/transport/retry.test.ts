import { describe, expect, it } from "vitest";
import { SessionAuthorityError } from "#client/base/errors.js";
import { RetryBudget, withRetries } from "#client/transport/retry.js";
import { ManualClock } from "../../../support/manual-clock.js";

function surroundings(clock = new ManualClock()) {
  const randomness = { fraction: () => 1, requestId: () => "", secret: () => Buffer.alloc(32) };
  return { clock, randomness, budget: new RetryBudget() };
}

function unavailable(): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "unreachable",
    applied: "unknown",
    message: "unreachable",
    retryable: true,
  });
}

describe("a call", () => {
  it("is tried three times at most, within one deadline", async () => {
    const given = surroundings();
    const left: number[] = [];
    const call = withRetries(given, 1_000, async (leftMs) => {
      left.push(leftMs);
      return await Promise.reject(unavailable());
    });
    const outcome = expect(call).rejects.toMatchObject({ reason: "unreachable" });
    await given.clock.advanceAsync(1_000);
    await outcome;

    expect(left).toEqual([1_000, 980, 940]);
  });

  it("is not tried again for anything but UNAVAILABLE", async () => {
    let attempts = 0;
    const refused = new SessionAuthorityError({
      reason: "timeout",
      applied: "unknown",
      message: "",
    });
    const call = withRetries(surroundings(), 1_000, async () => {
      attempts += 1;
      return await Promise.reject(refused);
    });

    await expect(call).rejects.toBe(refused);
    expect(attempts).toBe(1);
  });

  it("may have changed something where an earlier attempt may have (R5)", async () => {
    const given = surroundings();
    const failures = [
      unavailable(),
      new SessionAuthorityError({
        reason: "store-unavailable",
        applied: "no",
        message: "the store is away",
        retryAfterMs: 7,
      }),
    ];
    const call = withRetries(given, 1_000, async () => {
      return await Promise.reject(failures.shift() ?? unavailable());
    });
    const outcome = expect(call).rejects.toMatchObject({
      reason: "store-unavailable",
      applied: "unknown",
      message: "the store is away",
      retryAfterMs: 7,
    });
    await given.clock.advanceAsync(1_000);
    await outcome;
  });

  it("is not tried again after its deadline", async () => {
    const given = surroundings();
    let attempts = 0;
    const call = withRetries(given, 10, async () => {
      attempts += 1;
      return await Promise.reject(unavailable());
    });

    await expect(call).rejects.toMatchObject({ reason: "unreachable" });
    expect(attempts).toBe(1);
  });

  it("is not tried again once the budget is spent, until calls succeed", () => {
    const budget = new RetryBudget();
    const spent = Array.from({ length: 8 }, () => budget.spend());

    expect(spent.filter(Boolean).length).toBe(4);
    for (let calls = 0; calls < 100; calls += 1) budget.credit();
    expect(budget.spend()).toBe(true);
  });
});
