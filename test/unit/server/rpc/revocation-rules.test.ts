import { LOCAL_CALLER } from "#server/callers/caller.js";
import { parseReceiver, type PositionedRequest } from "#server/rpc/revocation-rules.js";
import { RpcError } from "#server/rpc/status.js";
import { describe, expect, it } from "vitest";

import { ManualClock } from "../../../support/manual-clock.js";

const NOW_MS = 1_763_000_000_000;
const HOUR_US = 3_600_000_000n;
const NOW_US = BigInt(NOW_MS) * 1000n;

function request(overrides: Partial<PositionedRequest> = {}): PositionedRequest {
  return {
    position: [],
    tenantIds: [],
    deploymentId: "here",
    clientName: "",
    instanceId: "",
    sdkVersion: "",
    ...overrides,
  };
}

function parse(
  overrides: Partial<PositionedRequest>,
  headGeneration = Number(NOW_US) - 5,
): ReturnType<typeof parseReceiver> {
  return parseReceiver(request(overrides), {
    clock: new ManualClock(NOW_MS),
    deploymentId: "here",
    heads: [{ partition: 0, generation: headGeneration, sequence: 0 }],
    caller: LOCAL_CALLER,
  });
}

function refusal(overrides: Partial<PositionedRequest>): RpcError {
  try {
    parse(overrides);
  } catch (error) {
    if (error instanceof RpcError) return error;
  }
  throw new Error("It was accepted");
}

describe("parseReceiver", () => {
  it("accepts a position of this deployment", () => {
    const { position } = parse({ position: [{ partition: 15, generation: 5n, sequence: 6n }] });

    expect([...position]).toEqual([[15, { partition: 15, generation: 5, sequence: 6 }]]);
  });

  it.each(["", "elsewhere"])("refuses a position of deployment '%s'", (deploymentId) => {
    const error = refusal({
      deploymentId,
      position: [{ partition: 0, generation: 5n, sequence: 6n }],
    });

    expect(error.reason).toBe("WRONG_DEPLOYMENT");
  });

  it("asks for no deployment where there is no position", () => {
    expect(parse({ deploymentId: "" }).position.size).toBe(0);
  });

  it.each([
    ["partition 16", { partition: 16, generation: 1n, sequence: 1n }, "position.partition"],
    [
      "a generation of 2^53",
      { partition: 0, generation: 2n ** 53n, sequence: 1n },
      "position.generation",
    ],
    [
      "a sequence of 2^53",
      { partition: 0, generation: 1n, sequence: 2n ** 53n },
      "position.sequence",
    ],
    [
      "a generation more than an hour ahead",
      { partition: 0, generation: NOW_US + HOUR_US + 1n, sequence: 0n },
      "position.generation",
    ],
  ])("refuses %s and names the field and the bound", (_, revision, field) => {
    const error = refusal({ position: [revision] });

    expect(error.reason).toBe("INVALID_FIELD");
    expect(error.details.metadata).toMatchObject({ field });
    expect(error.details.metadata?.["bound"]).not.toBe("");
  });

  it("accepts the largest values below the bounds", () => {
    const position = [{ partition: 15, generation: NOW_US + HOUR_US, sequence: 2n ** 53n - 1n }];

    expect(parse({ position }).position.size).toBe(1);
  });

  it("counts the hour from the replica's own generation where that is ahead of its clock", () => {
    const ahead = Number(NOW_US + HOUR_US);
    const position = [{ partition: 0, generation: NOW_US + 2n * HOUR_US, sequence: 0n }];

    expect(parse({ position }, ahead).position.size).toBe(1);
  });

  it("refuses a partition that is named twice", () => {
    const revision = { partition: 3, generation: 1n, sequence: 1n };

    expect(refusal({ position: [revision, revision] }).message).toContain("named once");
  });

  it.each([
    [{ tenantIds: new Array<string>(65).fill("a") }, "tenant_ids"],
    [{ tenantIds: [""] }, "tenant_ids"],
    [{ tenantIds: ["a".repeat(129)] }, "tenant_ids"],
    [{ clientName: "a".repeat(129) }, "client_name"],
    [{ instanceId: "a".repeat(129) }, "instance_id"],
    [{ sdkVersion: "a".repeat(65) }, "sdk_version"],
  ])("refuses %j by its bound", (overrides, field) => {
    expect(refusal(overrides).details.metadata).toMatchObject({ field });
  });

  it("accepts the same fields at their bounds", () => {
    const receiver = parse({
      tenantIds: Array.from({ length: 64 }, (_, index) => String(index).padEnd(128, "a")),
      clientName: "a".repeat(128),
      instanceId: "a".repeat(128),
      sdkVersion: "a".repeat(64),
    });

    expect(receiver.identity.sdkVersion).toHaveLength(64);
  });
});
