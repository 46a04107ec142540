import { createTenantFilter } from "#server/watch/tenant-filter.js";
import { describe, expect, it } from "vitest";

function entry(
  tenantId: string | undefined,
): Parameters<ReturnType<typeof createTenantFilter>["admits"]>[0] {
  return {
    revision: { partition: 0, generation: 1, sequence: 1 },
    tenantId,
    bytes: new Uint8Array(),
  };
}

describe("createTenantFilter", () => {
  it("admits every tenant only where that is said: a list of none admits none", () => {
    expect(createTenantFilter(undefined).admits(entry("any"))).toBe(true);
    expect(createTenantFilter([]).admits(entry("any"))).toBe(false);
    expect(createTenantFilter([]).admits(entry(undefined))).toBe(true);
  });

  it("admits the named tenants and what concerns all, and nothing else", () => {
    const filter = createTenantFilter(["a", "b"]);

    expect(["a", "b", undefined, "c", ""].map((id) => filter.admits(entry(id)))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  it("has one key for the same tenants in any order, and different keys for different ones", () => {
    expect(createTenantFilter(["b", "a", "a"]).key).toBe(createTenantFilter(["a", "b"]).key);
    expect(createTenantFilter(['a","b']).key).not.toBe(createTenantFilter(["a", "b"]).key);
    const keys = [undefined, [], [""], ["a"]].map((tenantIds) => createTenantFilter(tenantIds).key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
