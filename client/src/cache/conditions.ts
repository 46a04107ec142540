import type { BindingField, BindingMode, ValidationOutcome } from "../base/session.js";
import type { Facts } from "./entry-table.js";

/** What a call asks of a session beyond being alive, with nothing left out. */
export interface AskedConditions {
  readonly audienceClientIds: readonly string[];
  readonly binding:
    | { readonly ipAddress: string; readonly userAgent: string; readonly deviceId: string }
    | undefined;
  readonly minAal: number;
  readonly maxAuthAgeMs: number | undefined;
  readonly requiredAmr: readonly string[];
}

/** What the facts come to under a call's conditions. */
export type ConditionVerdict =
  | { readonly kind: "met"; readonly bindingWarnings: readonly BindingField[] }
  | { readonly kind: "refused"; readonly outcome: Exclude<ValidationOutcome, "valid"> };

const NO_WARNINGS: readonly BindingField[] = [];

/**
 * Checks facts in the authority's order: audience, binding, assurance, age. A
 * pure AND, and a fact that is not known does not hold (S-11). `ageMs` is how
 * long ago the facts were asked for; the authentication has aged by it.
 */
export function checkConditions(
  facts: Facts,
  asked: AskedConditions | undefined,
  ageMs: number,
): ConditionVerdict {
  if (asked === undefined) return { kind: "met", bindingWarnings: NO_WARNINGS };
  const { session } = facts;
  const { audienceClientIds } = asked;
  if (audienceClientIds.length > 0 && !audienceClientIds.includes(session.clientId)) {
    return { kind: "refused", outcome: "not-found" };
  }
  const binding = compareBinding(facts, asked.binding);
  if (binding.isMismatch) return { kind: "refused", outcome: "binding-mismatch" };
  const hasMethods = asked.requiredAmr.every((method) => session.amr.includes(method));
  if (session.aal < asked.minAal || !hasMethods) {
    return { kind: "refused", outcome: "insufficient-aal" };
  }
  if (!isRecent(facts.authenticationAgeMs, asked.maxAuthAgeMs, ageMs)) {
    return { kind: "refused", outcome: "authentication-too-old" };
  }
  return { kind: "met", bindingWarnings: binding.warnings };
}

function isRecent(
  authenticationAgeMs: number | undefined,
  maxAuthAgeMs: number | undefined,
  ageMs: number,
): boolean {
  if (maxAuthAgeMs === undefined) return true;
  return authenticationAgeMs !== undefined && authenticationAgeMs + ageMs <= maxAuthAgeMs;
}

function compareBinding(
  { session: { bindingPolicy: policy, device } }: Facts,
  presented: AskedConditions["binding"],
): { readonly isMismatch: boolean; readonly warnings: readonly BindingField[] } {
  if (presented === undefined) return { isMismatch: false, warnings: NO_WARNINGS };
  const fields: readonly (readonly [BindingField, BindingMode, string, string])[] = [
    ["ip_address", policy.ipAddress, presented.ipAddress, device.ipAddress],
    ["user_agent", policy.userAgent, presented.userAgent, device.userAgent],
    ["device_id", policy.deviceId, presented.deviceId, device.id],
  ];
  const differing = fields.filter(([, mode, given, known]) => {
    return mode !== "off" && (given === "" || given !== known);
  });
  return {
    isMismatch: differing.some(([, mode]) => mode === "enforce"),
    warnings: differing.map(([field]) => field),
  };
}
