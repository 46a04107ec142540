import type { ValidationOutcome } from "./outcome.js";
import type { BindingMode } from "./policy.js";

/*
 * What a request may ask beyond "is the session alive?": that the token comes
 * from the device it was given to, and that the subject proved who they are
 * strongly and recently enough.
 *
 * Both are a pure AND. A fact that is not known does not hold, on either side:
 * an enforced field that was not presented is a mismatch even where the session
 * does not know it either, and an authentication without an instant is never
 * recent (S-11). Checks that were combined with OR, or that skipped what was
 * missing, are how other systems let a step-up be bypassed (CVE-2026-42349).
 */

/** What a validation or a requirement may compare; fixed at creation or rotation. */
export interface CheckedFacts {
  /** 0: not stated. */
  readonly aal: number;
  readonly amr: readonly string[];
  readonly authenticatedAtMs: number | undefined;
}

/** Where the token was presented from. A field that is enforced and empty is a mismatch. */
export interface BindingPresented {
  readonly ipAddress: string;
  readonly userAgent: string;
  readonly deviceId: string;
}

/** A pure AND; a fact that is not known does not hold (S-11). */
export interface RequirementsAsked {
  readonly minAal: number;
  readonly maxAuthAgeMs: number | undefined;
  readonly requiredAmr: readonly string[];
}

/** A field of the binding. */
export type BindingField = "ip_address" | "user_agent" | "device_id";

/** What the session knows of its device, and how strictly each field is compared. */
export interface BindingRules {
  readonly device: { readonly id: string; readonly ipAddress: string; readonly userAgent: string };
  readonly modes: {
    readonly ipAddress: BindingMode;
    readonly userAgent: BindingMode;
    readonly deviceId: BindingMode;
  };
}

/** The outcome of comparing a binding: whether it is refused, and what only deserves a warning. */
export interface BindingVerdict {
  readonly mismatch: boolean;
  readonly warnings: readonly BindingField[];
}

/**
 * Compares where a token was presented from with the session's device. A request
 * that presents no binding at all is not compared: the caller evaluates the facts.
 */
export function evaluateBinding(
  presented: BindingPresented | undefined,
  { device, modes }: BindingRules,
): BindingVerdict {
  if (presented === undefined) {
    return { mismatch: false, warnings: [] };
  }
  const fields: readonly (readonly [BindingField, BindingMode, boolean])[] = [
    ["ip_address", modes.ipAddress, isSame(presented.ipAddress, device.ipAddress)],
    ["user_agent", modes.userAgent, isSame(presented.userAgent, device.userAgent)],
    ["device_id", modes.deviceId, isSame(presented.deviceId, device.id)],
  ];
  const differing = fields.filter(([, , same]) => !same);
  return {
    mismatch: differing.some(([, mode]) => mode === "enforce"),
    warnings: differing.filter(([, mode]) => mode === "warn").map(([field]) => field),
  };
}

/**
 * Returns why the requirements do not hold, or undefined where they do. Level and
 * methods come before age, so that a step-up is asked for before a repetition.
 */
export function evaluateRequirements(
  asked: RequirementsAsked | undefined,
  facts: CheckedFacts,
  nowMs: number,
): Extract<ValidationOutcome, "insufficient-aal" | "authentication-too-old"> | undefined {
  if (asked === undefined) {
    return undefined;
  }
  const strongEnough =
    facts.aal >= asked.minAal && asked.requiredAmr.every((method) => facts.amr.includes(method));
  if (!strongEnough) {
    return "insufficient-aal";
  }
  if (asked.maxAuthAgeMs === undefined) {
    return undefined;
  }
  const recentEnough =
    facts.authenticatedAtMs !== undefined && nowMs - facts.authenticatedAtMs <= asked.maxAuthAgeMs;
  return recentEnough ? undefined : "authentication-too-old";
}

function isSame(presented: string, known: string): boolean {
  return presented !== "" && presented === known;
}
