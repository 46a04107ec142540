import {
  AdminServiceService,
  RevocationServiceService,
  SessionServiceService,
} from "@coatcheck/proto";

import { type Caller, mayTouch, type Role } from "../callers/caller.js";
import { RpcError } from "./status.js";

/*
 * Who may call what: one table, a row for each method of the contract.
 *
 * The table's type is made from the generated services, so a method that is added
 * to the contract does not compile until it has a row here, and a row that says
 * how to find the tenant only compiles where the request has such a field. What
 * has no row all the same is refused (S-27).
 *
 * `tenants` says how a call is kept to the caller's own tenants (S-28):
 *
 * - `field`: the request names one tenant, and it must be the caller's.
 * - `filter`: the request names several, all of them the caller's; none means all
 *   that the caller has.
 * - `optional`: as `field`, but an empty one means every tenant, so only a caller
 *   of every tenant may leave it empty.
 * - `items`: each item names its own. One that is not the caller's fails alone, in
 *   the handler, as every item of a batch does.
 * - `record`: the request names a session or a token. The store compares the
 *   record's tenant, and another tenant's session is not found: whoever may not
 *   see it is not told that it exists.
 * - `deployment`: it is about all tenants, so only a caller of every tenant may.
 */

/** What a request may touch. */
export type TenantScope = "field" | "filter" | "optional" | "items" | "record" | "deployment";

/** Who may call one method, and for which tenants. */
export interface AccessRow {
  /** Any one of them is enough. */
  readonly roles: readonly Role[];
  readonly tenants: TenantScope;
}

type Services = typeof SessionServiceService &
  typeof RevocationServiceService &
  typeof AdminServiceService;

/** A method of the contract, as generated code calls it. */
export type MethodName = keyof Services;

type RequestOf<Method extends MethodName> = ReturnType<Services[Method]["requestDeserialize"]>;

/** The scopes that a request of this shape can have. */
type ScopeOf<Request> = Request extends { readonly tenantId: string }
  ? "field" | "optional"
  : Request extends { readonly tenantIds: readonly string[] }
    ? "filter"
    : Request extends { readonly items: readonly { readonly tenantId: string }[] }
      ? "items"
      : "record" | "deployment";

type AccessTable = {
  readonly [Method in MethodName]: AccessRow & { readonly tenants: ScopeOf<RequestOf<Method>> };
};

const READERS = ["issuer", "revoker", "auditor", "admin"] as const;
const OBSERVERS = ["auditor", "admin"] as const;

/** The table. A caller with several roles may do what any of them may. */
export const ACCESS: AccessTable = {
  createSession: { roles: ["issuer"], tenants: "field" },
  validateSession: { roles: ["validator"], tenants: "field" },
  batchValidateSessions: { roles: ["validator"], tenants: "items" },
  touchSessions: { roles: ["validator"], tenants: "record" },
  getSession: { roles: READERS, tenants: "record" },
  listSessions: { roles: READERS, tenants: "field" },
  updateSession: { roles: ["issuer"], tenants: "record" },
  rotateSession: { roles: ["issuer"], tenants: "record" },
  revokeSession: { roles: ["revoker", "admin"], tenants: "record" },
  revokeSubjectSessions: { roles: ["revoker", "admin"], tenants: "field" },
  revokeTenantSessions: { roles: ["admin"], tenants: "field" },
  recoverSession: { roles: ["issuer"], tenants: "record" },
  watchRevocations: { roles: ["validator", "admin"], tenants: "filter" },
  syncRevocations: { roles: ["validator"], tenants: "filter" },
  getStats: { roles: OBSERVERS, tenants: "deployment" },
  listAuditEvents: { roles: OBSERVERS, tenants: "optional" },
  listWatchers: { roles: OBSERVERS, tenants: "deployment" },
  revokeAllSessions: { roles: ["admin"], tenants: "deployment" },
  setIncidentMode: { roles: ["admin"], tenants: "deployment" },
};

const SERVICES: Services = {
  ...SessionServiceService,
  ...RevocationServiceService,
  ...AdminServiceService,
};

const ROWS: ReadonlyMap<string, AccessRow> = new Map(
  Object.entries(ACCESS).flatMap(([method, row]) => {
    const definition = Object.entries(SERVICES).find(([name]) => name === method)?.[1];
    return definition === undefined ? [] : [[definition.path, row] as const];
  }),
);

/** The row of a method by its path on the wire; undefined where it has none. */
export function accessOf(path: string): AccessRow | undefined {
  return ROWS.get(path);
}

/** Throws `CALLER_NOT_ALLOWED` where the caller may not make this call. */
export function authorize(caller: Caller, path: string, request: unknown): void {
  const row = ROWS.get(path);
  if (row?.roles.some((role) => caller.roles.has(role)) !== true) {
    throw notAllowed("The caller has no role that allows this method");
  }
  if (caller.tenants !== undefined) {
    requireTenants(caller, row.tenants, request);
  }
}

/** Throws `CALLER_NOT_ALLOWED` where the caller may not touch the tenant. */
export function requireTenant(caller: Caller, tenantId: string): void {
  if (!mayTouch(caller, tenantId)) {
    throw notAllowed("The caller may not act for this tenant");
  }
}

/** The tenants whose events a caller gets that asked for these; undefined: every one. */
export function tenantsToWatch(
  { tenants }: Caller,
  asked: readonly string[],
): readonly string[] | undefined {
  return asked.length > 0 ? asked : tenants && [...tenants].sort();
}

/** Whether a stream that a caller opened is the one it would get now, with its rights of now. */
export function seesTheSame(request: unknown, before: Caller, now: Caller): boolean {
  const asked = tenantIdsIn(request);
  const [then, today] = [before, now].map((caller) => tenantsToWatch(caller, asked));
  return JSON.stringify(then) === JSON.stringify(today);
}

function requireTenants(caller: Caller, scope: TenantScope, request: unknown): void {
  switch (scope) {
    case "field":
    case "optional":
      // An empty field is no tenant's, so a caller of some tenants has to name one.
      requireTenant(caller, tenantIdIn(request));
      return;
    case "filter":
      for (const tenantId of tenantIdsIn(request)) requireTenant(caller, tenantId);
      return;
    case "deployment":
      throw notAllowed("Only a caller of every tenant may call this method");
    case "items":
    case "record":
  }
}

function tenantIdIn(request: unknown): string {
  const value = fieldOf(request, "tenantId");
  return typeof value === "string" ? value : "";
}

function tenantIdsIn(request: unknown): readonly string[] {
  const value = fieldOf(request, "tenantIds");
  // What is no list of text is no caller's.
  return Array.isArray(value) ? value.map((id) => (typeof id === "string" ? id : "")) : [""];
}

function fieldOf(request: unknown, name: string): unknown {
  return typeof request === "object" && request !== null ? Reflect.get(request, name) : undefined;
}

function notAllowed(message: string): RpcError {
  return new RpcError("CALLER_NOT_ALLOWED", message);
}
