import type { RingEntry } from "./event-ring.js";

/** Which events a receiver asked for. */
export interface TenantFilter {
  /** Equal for equal filters, so that frames are shared. */
  readonly key: string;
  admits(entry: RingEntry): boolean;
}

const EVERY_TENANT: TenantFilter = { key: "", admits: () => true };

/**
 * The filter for these tenants; none means every tenant. An event that concerns
 * all tenants passes every filter.
 */
export function createTenantFilter(tenantIds: readonly string[]): TenantFilter {
  if (tenantIds.length === 0) {
    return EVERY_TENANT;
  }
  const admitted = new Set(tenantIds);
  return {
    // As JSON, so that no choice of ids makes two filters look the same.
    key: JSON.stringify([...admitted].sort()),
    admits: ({ tenantId }) => tenantId === undefined || admitted.has(tenantId),
  };
}
