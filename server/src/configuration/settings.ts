import { CallerDirectory, type CallerRecord } from "../callers/caller-directory.js";
import { type LimitOverrides, type Limits, resolveLimits } from "./limits.js";
import { ConfigurationError } from "./read-file.js";
import { type CallerEntry, type ConfigurationFile, toPolicyOverride } from "./schema.js";
import { type PolicyOverrides, resolvePolicies } from "./policies.js";
import type { SessionPolicy } from "../session/policy.js";

/** What one tenant may do beyond what all may. */
export interface TenantSettings {
  /** The policies it may create under; undefined: every one. */
  readonly policies: ReadonlySet<string> | undefined;
  /** Live sessions, approximately; undefined: no cap. */
  readonly maxLiveSessions: number | undefined;
}

/** What the process runs by and may be given anew while it runs. Never changed, only replaced. */
export interface Settings {
  /** By name; "default" is always there. */
  readonly policies: ReadonlyMap<string, SessionPolicy>;
  /** By id; a tenant that is not there is not limited. */
  readonly tenants: ReadonlyMap<string, TenantSettings>;
  /** Undefined: none are configured, so everybody is the local caller. */
  readonly callers: CallerDirectory | undefined;
  readonly limits: LimitOverrides;
}

/** The limits to run by; what a program gives comes before the file. They are read at the start. */
export function limitsOf(settings: Settings, given: LimitOverrides = {}): Limits {
  const hasCallers = settings.callers !== undefined;
  return resolveLimits({ ...settings.limits, ...given }, { hasCallers });
}

/** The settings without a file. */
export function defaultSettings(policies: PolicyOverrides): Settings {
  return {
    policies: resolvePolicies(policies),
    tenants: new Map(),
    callers: undefined,
    limits: {},
  };
}

/**
 * The settings of a file. Callers, once configured, cannot be taken out of a
 * running process: that would open it to everybody who can reach it.
 */
export function buildSettings(file: ConfigurationFile, before: Settings | undefined): Settings {
  if (before?.callers !== undefined && file.callers === undefined) {
    throw new ConfigurationError("callers is missing: a running process cannot do without them");
  }
  const overrides = Object.entries(file.policies).map(
    ([name, entry]) => [name, toPolicyOverride(entry)] as const,
  );
  return {
    policies: resolvePolicies(Object.fromEntries(overrides)),
    tenants: new Map(file.tenants.map((tenant) => [tenant.id, toTenantSettings(tenant)])),
    callers: file.callers && new CallerDirectory(file.callers.map(toCallerRecord)),
    limits: file.limits,
  };
}

function toTenantSettings(entry: ConfigurationFile["tenants"][number]): TenantSettings {
  return {
    policies: entry.policies && new Set(entry.policies),
    maxLiveSessions: entry.max_live_sessions,
  };
}

function toCallerRecord(entry: CallerEntry): CallerRecord {
  return {
    name: entry.name,
    roles: entry.roles,
    tenants: entry.tenants === "*" ? undefined : entry.tenants,
    uris: entry.uris,
    dnsNames: entry.dns_names,
    serviceKeyHashes: entry.service_key_hashes.map((hash) => hash.replace("sha256:", "")),
  };
}
