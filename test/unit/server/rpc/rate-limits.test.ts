import { describe, expect, it } from "vitest";

import { callerKey, streamKey } from "#server/rpc/caller-key.js";
import { HeldStreams } from "#server/rpc/held-streams.js";
import { RateLimits, type RateLimitSettings } from "#server/rpc/rate-limits.js";
import { RpcError } from "#server/rpc/status.js";
import { type Caller, LOCAL_CALLER } from "#server/callers/caller.js";

import { heapBytes } from "../../../support/heap-bytes.js";

// So long that no test sees its end.
const WINDOW_MS = 3_600_000;

function make(limits: Partial<RateLimitSettings> = {}): RateLimits {
  return new RateLimits({
    createsPerCallerMax: 0,
    createsPerTenantMax: 0,
    createsPerSubjectMax: 0,
    missesPerCallerMax: 0,
    missesPerSessionMax: 0,
    rateWindowMs: WINDOW_MS,
    ...limits,
  });
}

const attempt = { caller: "shop", tenantId: "acme", subject: "alice" };
const miss = { caller: "shop", sessionId: "00AAAAAAAAAAAAAAAAAAAAAA" };

async function refusal(work: Promise<void>): Promise<RpcError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
}

async function countAdmitted(calls: number, work: () => Promise<void>): Promise<number> {
  const refusals = await Promise.all(Array.from({ length: calls }, () => refusal(work())));
  return refusals.filter((error) => error === undefined).length;
}

describe("creations", () => {
  it.each([
    ["createsPerCallerMax", { subject: "bob" }, { caller: "desk" }],
    ["createsPerTenantMax", { subject: "bob" }, { tenantId: "globex" }],
    ["createsPerTenantMax", { subject: "" }, { caller: "desk" }],
    ["createsPerSubjectMax", { caller: "desk" }, { subject: "bob" }],
    ["createsPerSubjectMax", { caller: "desk" }, { tenantId: "globex" }],
  ] as const)("%s admits as many as it says", async (limit, same, other) => {
    const rates = make({ [limit]: 3 });

    expect(await countAdmitted(5, () => rates.admitCreate(attempt))).toBe(3);

    expect(await countAdmitted(1, () => rates.admitCreate({ ...attempt, ...same }))).toBe(0);
    expect(await countAdmitted(1, () => rates.admitCreate({ ...attempt, ...other }))).toBe(1);
  });

  it("are refused with RATE_LIMITED, the limit's name and what is left of the window", async () => {
    const rates = make({ createsPerSubjectMax: 1 });
    await rates.admitCreate(attempt);

    const told = await refusal(rates.admitCreate(attempt));

    expect(told).toMatchObject({
      reason: "RATE_LIMITED",
      details: { metadata: { limit: "creates_per_subject_max", bound: "1" } },
    });
    expect(told?.details.retryAfterMs).toBeGreaterThan(0);
    expect(told?.details.retryAfterMs).toBeLessThanOrEqual(WINDOW_MS);
    expect(told?.message).not.toContain("alice");
    expect([...rates.refusals].filter(([, count]) => count > 0)).toEqual([
      ["creates_per_subject_max", 1],
    ]);
  });

  it("of one tenant do not use up what their caller may create for others, S-39", async () => {
    const rates = make({ createsPerTenantMax: 3, createsPerCallerMax: 6 });

    expect(await countAdmitted(1000, () => rates.admitCreate(attempt))).toBe(3);

    const other = { ...attempt, tenantId: "globex" };
    expect(await countAdmitted(5, () => rates.admitCreate(other))).toBe(3);
  });

  it("of one subject do not use up what its tenant and its caller may create, S-39", async () => {
    const rates = make({ createsPerSubjectMax: 2, createsPerTenantMax: 4, createsPerCallerMax: 5 });

    expect(await countAdmitted(1000, () => rates.admitCreate(attempt))).toBe(2);

    const other = { ...attempt, subject: "" };
    expect(await countAdmitted(5, () => rates.admitCreate(other))).toBe(2);
    expect(await countAdmitted(5, () => rates.admitCreate({ ...other, tenantId: "b" }))).toBe(1);
  });

  it("of nobody are counted for tenant and caller", async () => {
    const rates = make({ createsPerSubjectMax: 1, createsPerCallerMax: 4 });

    const anonymous = { ...attempt, subject: "" };

    expect(await countAdmitted(5, () => rates.admitCreate(anonymous))).toBe(4);
  });

  it("are not counted where the limit is 0", async () => {
    const rates = make();

    expect(await countAdmitted(1000, () => rates.admitCreate(attempt))).toBe(1000);
  });
});

describe("misses", () => {
  it.each([
    ["missesPerCallerMax", { sessionId: "0fBBBBBBBBBBBBBBBBBBBBBB" }, { caller: "desk" }],
    ["missesPerSessionMax", { caller: "desk" }, { sessionId: "0fBBBBBBBBBBBBBBBBBBBBBB" }],
  ] as const)("%s admits as many as it says", async (limit, same, other) => {
    const rates = make({ [limit]: 3 });

    expect(await countAdmitted(5, () => rates.countMiss(miss))).toBe(3);

    expect(await countAdmitted(1, () => rates.countMiss({ ...miss, ...same }))).toBe(0);
    expect(await countAdmitted(1, () => rates.countMiss({ ...miss, ...other }))).toBe(1);
  });
});

describe("misses of one session id", () => {
  it("do not use up the caller's, S-39", async () => {
    const rates = make({ missesPerSessionMax: 2, missesPerCallerMax: 3 });

    expect(await countAdmitted(1000, () => rates.countMiss(miss))).toBe(2);

    expect(await countAdmitted(5, () => rates.countMiss({ ...miss, sessionId: "other" }))).toBe(1);
  });
});

describe("a flood of new tenants, subjects, session ids and addresses", () => {
  it("takes no more memory than the slots, S-39", async () => {
    const endless = 1_000_000;
    const rates = make({
      createsPerCallerMax: endless,
      createsPerTenantMax: endless,
      createsPerSubjectMax: endless,
      missesPerSessionMax: endless,
    });
    async function flood(round: number): Promise<void> {
      for (let call = 0; call < 40_000; call += 1) {
        const name = `${round}-${call}`;
        await rates.admitCreate({ caller: `address ${name}`, tenantId: name, subject: name });
        await rates.countMiss({ ...miss, sessionId: name });
      }
    }
    await flood(1);
    const before = await heapBytes();

    await flood(2);

    // Kept by name, each of four times 40,000 more would take 250 B at least.
    expect((await heapBytes()) - before).toBeLessThan(10_000_000);
  }, 30_000);
});

describe("a caller is counted", () => {
  const shop: Caller = { name: "shop", roles: new Set(), tenants: undefined };

  it.each(["10.0.0.7:4711", "10.0.0.8:4711"])(
    "by its name, wherever it calls from (%s)",
    (peer) => {
      expect(callerKey(shop, peer)).toBe("caller shop");
    },
  );

  it.each([
    ["127.0.0.1:4711", "address 127.0.0.1"],
    ["::1:4711", "address ::1"],
    ["[::1]:4711", "address [::1]"],
  ])("by its address where nobody is told apart (%s)", (peer, expected) => {
    expect(callerKey(LOCAL_CALLER, peer)).toBe(expected);
  });

  it("by its name and address where it is about streams", () => {
    expect(streamKey(shop, "10.0.0.7:1")).toBe(streamKey(shop, "10.0.0.7:2"));
    expect(streamKey(shop, "10.0.0.7:1")).not.toBe(streamKey(shop, "10.0.0.8:1"));
  });
});

describe("held streams", () => {
  it("are at most as many as the limit, for each key, until one ends", async () => {
    const streams = new HeldStreams(2);
    const ends: (() => void)[] = [];
    async function serve(): Promise<void> {
      await new Promise<void>((resolve) => ends.push(resolve));
    }
    const held = [streams.hold("a", serve), streams.hold("a", serve), streams.hold("b", serve)];

    await expect(streams.hold("a", serve)).rejects.toMatchObject({
      reason: "TOO_MANY_WATCHERS",
      details: { metadata: { limit: "streams_per_peer_max", bound: "2" } },
    });
    ends[0]?.();
    await held[0];
    const again = streams.hold("a", serve);

    for (const end of ends) end();
    await Promise.all([...held, again]);
  });

  it("are given back by one that fails", async () => {
    const streams = new HeldStreams(1);
    for (let stream = 0; stream < 3; stream += 1) {
      await expect(streams.hold("a", () => Promise.reject(new Error("it failed")))).rejects.toThrow(
        "it failed",
      );
    }
  });
});
