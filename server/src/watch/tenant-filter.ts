import type { RingEntry } from "./event-ring.js";

/** Which events a receiver asked for. */
export interface TenantFilter {
  /** Equal for equal filters, so that frames are shared. */
  readonly key: string;
  admits(entry: RingEntry): boolean;
}

const EVERY_TENANT: TenantFilter = { key: "", admits: () => true };

/**
 * The filter for these tenants; undefined means every tenant, and an empty list means
 * none. An event that concerns all tenants passes every filter.
 */
export function createTenantFilter(tenantIds: readonly string[] | undefined): TenantFilter {
  if (tenantIds === undefined) {
    return EVERY_TENANT;
  }
  const admitted = new Set(tenantIds);
  return {
    // As JSON, so that no choice of ids makes two filters look the same.
    key: JSON.stringify([...admitted].sort()),
    admits: ({ tenantId }) => tenantId === undefined || admitted.has(tenantId),
  };
}
