import { z } from "zod";

import { DEFAULT_POLICY, type SessionPolicy } from "../session/policy.js";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const BINDING = z.enum(["off", "warn", "enforce"]);

const policySchema = z.strictObject({
  // Below a second, a session would die between two requests of one page. 0 means none.
  idleTimeoutMs: z.union([
    z.literal(0),
    z
      .int()
      .min(1000)
      .max(400 * DAY_MS),
  ]),
  // 400 days is what browsers allow a cookie.
  absoluteTimeoutMs: z
    .int()
    .min(1000)
    .max(400 * DAY_MS),
  touchIntervalMs: z
    .int()
    .min(0)
    .max(10 * MINUTE_MS),
  // A previous token that lives longer is a second session.
  rotationGraceMs: z
    .int()
    .min(0)
    .max(10 * MINUTE_MS),
  // The create script walks the index: 500 sessions keep it below 2 ms (S-42).
  maxSessionsPerSubject: z.int().min(0).max(500),
  limitAction: z.enum(["deny", "evict-oldest", "evict-least-recently-used", "evict-all"]),
  recoveryWindowMs: z.int().min(0).max(DAY_MS),
  // At least as long as a request is remembered, so that a repeat still finds what it repeats.
  retentionMs: z
    .int()
    .min(10 * MINUTE_MS)
    .max(30 * DAY_MS),
  binding: z.strictObject({ ipAddress: BINDING, userAgent: BINDING, deviceId: BINDING }),
});

/** Policies as they are given: whatever a policy leaves out is the default's (DESIGN §9). */
export type PolicyOverrides = Readonly<Record<string, Partial<SessionPolicy>>>;

/**
 * Fills in and checks the named policies. "default" is always among them and may be
 * given to change it. Throws an error that names policy, setting and bound.
 */
export function resolvePolicies(overrides: PolicyOverrides): ReadonlyMap<string, SessionPolicy> {
  const policies = new Map<string, SessionPolicy>();
  for (const [name, override] of Object.entries({ default: {}, ...overrides })) {
    const result = policySchema.safeParse({ ...DEFAULT_POLICY, ...override });
    if (!result.success) {
      const issue = result.error.issues[0];
      const setting = issue?.path.join(".") ?? "";
      throw new RangeError(
        `Cannot use the policy ${JSON.stringify(name)}: ${setting}: ${issue?.message ?? "invalid"}`,
      );
    }
    policies.set(name, Object.freeze(result.data));
  }
  return policies;
}
