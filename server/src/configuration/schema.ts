import { z } from "zod";

import { ROLES } from "../callers/caller.js";
import type { SessionPolicy } from "../session/policy.js";
import { duration, name, tenantId, whole } from "./fields.js";
import { limitsSchema } from "./limits-schema.js";

/*
 * The configuration file: what is structured, and what may change while the
 * process runs. Keys are written as in the contract, in snake_case, and every
 * duration carries its unit. A key that nobody knows is a mistake: a misspelt
 * limit that is silently ignored is found in an incident.
 *
 * Everything is bounded here, the number of entries too: a call is compared with
 * every service key, and a filter of tenants is kept for every watcher.
 */

/** Callers of one file, at most. */
export const CALLERS_MAX = 256;

/** Tenants that one caller may be limited to. More is a caller of every tenant. */
export const CALLER_TENANTS_MAX = 64;

/** Service keys of all callers together: each call that brings one is compared with all. */
export const SERVICE_KEYS_MAX = 256;

/** Policies of one file: every one is looked at when a tenant names the wrong one. */
const POLICIES_MAX = 1000;
const ENTRIES_MAX = 10_000;
const BINDING = z.enum(["off", "warn", "enforce"]);

/** A policy as it is written; whatever it leaves out is the default's. */
export const policySchema = z.strictObject({
  // Below a second, a session would die between two requests of one page.
  idle_timeout: duration({ min: "1s", max: "400d", zero: "none" }).optional(),
  // 400 days is what browsers allow a cookie.
  absolute_timeout: duration({ min: "1s", max: "400d" }).optional(),
  touch_interval: duration({ min: "0s", max: "10m" }).optional(),
  // A previous token that lives longer is a second session.
  rotation_grace: duration({ min: "0s", max: "10m" }).optional(),
  // The create script walks the index: 500 sessions keep it below 2 ms (S-42).
  max_sessions_per_subject: whole({ min: 0, max: 500 }).optional(),
  limit_action: z
    .enum(["deny", "evict-oldest", "evict-least-recently-used", "evict-all"])
    .optional(),
  recovery_window: duration({ min: "0s", max: "1d" }).optional(),
  // At least as long as a request is remembered, so that a repeat finds what it repeats.
  retention: duration({ min: "10m", max: "30d" }).optional(),
  binding: z
    .strictObject({
      ip_address: BINDING.default("off"),
      user_agent: BINDING.default("off"),
      device_id: BINDING.default("off"),
    })
    .optional(),
});

/** What one tenant may do beyond what all may. A tenant that is not listed is not limited. */
export const tenantSchema = z.strictObject({
  id: tenantId(),
  /** The policies it may create under. Absent: every one. */
  policies: z.array(name()).min(1).max(ENTRIES_MAX).optional(),
  /** Live sessions, approximately. Absent: no cap. */
  max_live_sessions: whole({ min: 1, max: 1_000_000_000 }).optional(),
});

const SCHEME = /^[a-z][a-z0-9+.-]*:[^\s,"]{1,2040}$/;
const HOST = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;
const KEY_HASH = /^sha256:[0-9a-f]{64}$/;

/** A service that may call, what makes it known, and what it may do. */
export const callerSchema = z.strictObject({
  name: name(),
  roles: z.array(z.enum(ROLES)).min(1).max(ROLES.length),
  tenants: z.union([z.literal("*"), z.array(tenantId()).min(1).max(CALLER_TENANTS_MAX)], {
    error: `"*", or a list of 1 to ${CALLER_TENANTS_MAX} tenant ids`,
  }),
  /** URI names of its client certificate, such as a SPIFFE id. */
  uris: z
    .array(z.string().regex(SCHEME, { error: "a URI with its scheme in lower case" }))
    .max(16)
    .default([]),
  /** DNS names of its client certificate, in lower case; compared whole, never as a pattern. */
  dns_names: z
    .array(z.string().regex(HOST, { error: "a host name in lower case, without a wildcard" }))
    .max(16)
    .default([]),
  /** SHA-256 of its service keys. Two at a time are enough to change one without a gap. */
  service_key_hashes: z
    .array(z.string().regex(KEY_HASH, { error: "sha256: and 64 lower-case hex digits" }))
    .max(4)
    .default([]),
});

/** The whole file. Everything in it may be left out. */
export const fileSchema = z
  .strictObject({
    policies: z
      .record(name(), policySchema)
      .refine((policies) => Object.keys(policies).length <= POLICIES_MAX, {
        error: `at most ${POLICIES_MAX} of them`,
        params: { value: {} },
      })
      .default({}),
    tenants: z.array(tenantSchema).max(ENTRIES_MAX).default([]),
    /** Absent: there are no callers to tell apart, and only loopback is served. */
    callers: z.array(callerSchema).min(1).max(CALLERS_MAX).optional(),
    limits: limitsSchema.prefault({}),
  })
  .superRefine((file, context) => {
    refuseRepeats(
      file.tenants.map(({ id }) => id),
      ["tenants", "id"],
      context,
    );
    const callers = file.callers ?? [];
    refuseRepeats(
      callers.map((caller) => caller.name),
      ["callers", "name"],
      context,
    );
    refuseRepeats(
      callers.flatMap(({ uris }) => uris),
      ["callers", "uris"],
      context,
    );
    refuseRepeats(
      callers.flatMap((caller) => caller.dns_names),
      ["callers", "dns_names"],
      context,
    );
    refuseSharedKeys(callers, context);
    refuseAnonymous(callers, context);
    refuseUnknownPolicies(file, context);
  });

/** The file as it was read. */
export type ConfigurationFile = z.output<typeof fileSchema>;

/** One caller of the file. */
export type CallerEntry = z.output<typeof callerSchema>;

/** One policy of the file. */
export type PolicyEntry = z.output<typeof policySchema>;

/** A policy of the file as the rest of the server has it: only what was written. */
export function toPolicyOverride(entry: PolicyEntry): Partial<SessionPolicy> {
  const given = {
    idleTimeoutMs: entry.idle_timeout,
    absoluteTimeoutMs: entry.absolute_timeout,
    touchIntervalMs: entry.touch_interval,
    rotationGraceMs: entry.rotation_grace,
    maxSessionsPerSubject: entry.max_sessions_per_subject,
    limitAction: entry.limit_action,
    recoveryWindowMs: entry.recovery_window,
    retentionMs: entry.retention,
    binding: entry.binding && {
      ipAddress: entry.binding.ip_address,
      userAgent: entry.binding.user_agent,
      deviceId: entry.binding.device_id,
    },
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

type Context = z.core.$RefinementCtx;

/** Refuses what is named twice: which of the two was meant, nobody can say. */
function refuseRepeats(values: readonly string[], path: readonly string[], context: Context): void {
  const seen = new Set<string>();
  const repeated = values.find((value) => seen.size === seen.add(value).size);
  if (repeated !== undefined) {
    context.addIssue({
      code: "custom",
      path: [...path],
      input: repeated,
      message: "named once in the file",
      params: { value: repeated },
    });
  }
}

function refuseSharedKeys(callers: readonly CallerEntry[], context: Context): void {
  const hashes = callers.flatMap((caller) => caller.service_key_hashes);
  refuseRepeats(hashes, ["callers", "service_key_hashes"], context);
  if (hashes.length > SERVICE_KEYS_MAX) {
    context.addIssue({
      code: "custom",
      path: ["callers", "service_key_hashes"],
      message: `at most ${SERVICE_KEYS_MAX} in the file`,
      params: { value: hashes.length },
    });
  }
}

/** Nobody could ever call as a caller that nothing makes known. */
function refuseAnonymous(callers: readonly CallerEntry[], context: Context): void {
  for (const [index, caller] of callers.entries()) {
    const count = caller.uris.length + caller.dns_names.length + caller.service_key_hashes.length;
    if (count === 0) {
      context.addIssue({
        code: "custom",
        path: ["callers", index],
        message: "known by one of uris, dns_names and service_key_hashes",
        params: { value: caller.name },
      });
    }
  }
}

function refuseUnknownPolicies(
  file: {
    readonly policies: Readonly<Record<string, unknown>>;
    readonly tenants: readonly { readonly policies?: readonly string[] | undefined }[];
  },
  context: Context,
): void {
  const known = new Set(["default", ...Object.keys(file.policies)]);
  for (const [index, { policies = [] }] of file.tenants.entries()) {
    const unknown = policies.find((policy) => !known.has(policy));
    if (unknown !== undefined) {
      context.addIssue({
        code: "custom",
        path: ["tenants", index, "policies"],
        message: `one of the policies, ${[...known].join(", ")}`,
        params: { value: unknown },
      });
    }
  }
}
