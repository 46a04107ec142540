/** What callers may be allowed to do. `rpc/authorization.ts` says which role opens which method. */
export const ROLES = ["issuer", "validator", "revoker", "auditor", "admin"] as const;

/** One of `ROLES`. */
export type Role = (typeof ROLES)[number];

/** A service that calls the authority, as a call was attributed to it. */
export interface Caller {
  /** For logs, limits and the audit. Unique in a configuration. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  /** The tenants it may touch; undefined: every one. */
  readonly tenants: ReadonlySet<string> | undefined;
}

/**
 * Who everybody is where no callers are configured: then only this machine is
 * served, and whoever is on it may do everything.
 */
export const LOCAL_CALLER: Caller = {
  name: "local",
  roles: new Set(ROLES),
  tenants: undefined,
};

/** Whether a caller may touch a tenant. */
export function mayTouch({ tenants }: Caller, tenantId: string): boolean {
  return tenants === undefined || tenants.has(tenantId);
}

/**
 * The tenants a store must compare a record with before it acts on it; undefined
 * for a caller of every tenant.
 */
export function tenantIdsOf({ tenants }: Caller): readonly string[] | undefined {
  return tenants === undefined ? undefined : [...tenants];
}
