/** What to do when a subject is at its session limit. */
export type LimitAction = "deny" | "evict-oldest" | "evict-least-recently-used" | "evict-all";

/** How a field of the device is compared at validation. */
export type BindingMode = "off" | "warn" | "enforce";

/** The rules a session is created under. Fixed into the record at creation. */
export interface SessionPolicy {
  /** Longest time between uses, in ms. 0: none; the absolute timeout still holds. */
  readonly idleTimeoutMs: number;
  /** Longest life however active, in ms. Always required. */
  readonly absoluteTimeoutMs: number;
  /** A use is written at most this often, in ms; never less often than idle/4. */
  readonly touchIntervalMs: number;
  /** How long the previous token lives after a PERIODIC rotation, in ms. At most 600,000. */
  readonly rotationGraceMs: number;
  /** Live sessions of one subject, 1 to 500. 0: no limit. */
  readonly maxSessionsPerSubject: number;
  readonly limitAction: LimitAction;
  /** How long an idle-expired session can be recovered, in ms. 0: recovery is not allowed. */
  readonly recoveryWindowMs: number;
  /** How long the record of an ended session explains itself, in ms. */
  readonly retentionMs: number;
  readonly binding: {
    readonly ipAddress: BindingMode;
    readonly userAgent: BindingMode;
    readonly deviceId: BindingMode;
  };
}

const MINUTE_MS = 60_000;

/** DESIGN §9. Recovery is off until a policy turns it on. */
export const DEFAULT_POLICY: SessionPolicy = {
  idleTimeoutMs: 30 * MINUTE_MS,
  absoluteTimeoutMs: 12 * 60 * MINUTE_MS,
  touchIntervalMs: MINUTE_MS,
  rotationGraceMs: 30_000,
  maxSessionsPerSubject: 3,
  limitAction: "evict-oldest",
  recoveryWindowMs: 0,
  retentionMs: 10 * MINUTE_MS,
  binding: { ipAddress: "off", userAgent: "off", deviceId: "off" },
};
