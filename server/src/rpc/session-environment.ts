import type { Turns } from "../base/turns.js";
import type { RevocationReason, ValidationOutcome } from "../session/outcome.js";
import type { SessionPolicy } from "../session/policy.js";
import type { AuditOrigin } from "../store/audit-trail.js";
import type { RequestRecord, SessionStore, ValidateCommand } from "../store/session-store.js";
import { StoreUnavailableError } from "../store/store-error.js";
import { hashParts, keyDigest } from "../session/partition.js";
import type { RateLimits } from "./rate-limits.js";
import type { IncidentBoard } from "../watch/incident-board.js";
import { RpcError } from "./status.js";

/** What the handlers of the session service count. */
export interface SessionCounters {
  /** An answer to ValidateSession, or to one item of a batch. */
  countOutcome(outcome: ValidationOutcome): void;
  countCreated(): void;
  countEvents(events: number): void;
  /** Sessions that a call ended. Where many end at once, as many as the store estimates. */
  countEnded(reason: RevocationReason, sessions: number): void;
}

/** What every handler of the session service works with. */
export interface SessionEnvironment {
  readonly store: SessionStore;
  /** By name; "default" is always there. */
  readonly policies: ReadonlyMap<string, SessionPolicy>;
  /** What may be granted now. */
  readonly incidents: IncidentBoard;
  readonly counters: SessionCounters;
  readonly rates: RateLimits;
  /**
   * Changes that read a session, then write it under a version check, by session id. One at a
   * time in this replica, they conflict with those of other replicas only.
   */
  readonly turns: Turns;
  /** Told of a token that was presented from elsewhere than its session is bound to (S-31). */
  readonly onMismatch?: (origin: AuditOrigin, command: ValidateCommand) => void;
  /** What a tenant may do; undefined: whatever all may. */
  tenantRules(tenantId: string): TenantRules | undefined;
}

/** What one tenant may do beyond what all may. */
export interface TenantRules {
  /** The policies it may create under; undefined: every one. */
  readonly policies: ReadonlySet<string> | undefined;
  /** Live sessions, approximately; undefined: no cap. */
  readonly maxLiveSessions: number | undefined;
}

/** How often a change is tried again when another one got in between (DESIGN §5). */
export const CONFLICT_ATTEMPTS_MAX = 10;

/** The name of the policy that is used where a request names none. */
export const DEFAULT_POLICY_NAME = "default";

/**
 * The answer to a step of a call that has had an effect already. No failure of it may say that
 * nothing was applied (FAULTS R5).
 */
export async function afterFirstEffect<Answer>(step: Promise<Answer>): Promise<Answer> {
  try {
    return await step;
  } catch (error) {
    throw error instanceof StoreUnavailableError
      ? new StoreUnavailableError(error.message, "unknown")
      : error;
  }
}

/** Which policy is asked for, and for whom. */
export interface PolicyChoice {
  readonly tenantId: string;
  readonly name: string;
}

/**
 * The policy of a name, or INVALID_ARGUMENT where there is none of that name for
 * the tenant. One that only others may use is not told apart from none.
 */
export function policyFor(
  environment: SessionEnvironment,
  { tenantId, name }: PolicyChoice,
): SessionPolicy {
  const allowed = environment.tenantRules(tenantId)?.policies;
  const policy =
    allowed === undefined || allowed.has(name) ? environment.policies.get(name) : undefined;
  if (policy === undefined) {
    throw new RpcError("UNKNOWN_POLICY", "No policy of that name is configured for the tenant", {
      metadata: { field: "policy" },
    });
  }
  return policy;
}

/** Throws while an incident stops the creation of sessions. Nothing was applied. */
export function refuseWhileStopped({ incidents }: SessionEnvironment): void {
  const stoppedForMs = incidents.creationStoppedForMs;
  if (stoppedForMs > 0) {
    throw new RpcError("OVERLOADED", "No session is created: an operator has stopped it", {
      metadata: { incident: "stop_creating" },
      retryAfterMs: Math.min(Math.ceil(stoppedForMs), INCIDENT_RETRY_MS_MAX),
    });
  }
}

// An incident may be over before its end.
const INCIDENT_RETRY_MS_MAX = 30_000;

/** What identifies a repeatable call. */
export interface RepeatableCall {
  readonly method: string;
  /** The tenant or session id, and the presented token's digest and the trigger where there are any. */
  readonly scope: readonly string[];
  readonly requestId: string;
  /** Whatever decides the effect, each in one fixed form. */
  readonly effect: readonly (string | Buffer)[];
}

/** The store's idempotency record of a call; undefined where the caller asked for none. */
export function requestRecord(call: RepeatableCall): RequestRecord | undefined {
  if (call.requestId === "") {
    return undefined;
  }
  return {
    key: keyDigest(call.method, ...call.scope, call.requestId),
    argumentsDigest: hashParts(...call.effect).toString("hex"),
  };
}

/** The refusal of a request id that was used for something else. */
export function requestIdReused(): RpcError {
  return new RpcError(
    "REQUEST_ID_REUSED",
    "Cannot use request_id again with other arguments: it names a call of the last 10 minutes",
    { metadata: { field: "request_id" } },
  );
}

/** The refusal of a repeat whose token cannot be handed out again. */
export function requestSuperseded(sessionId: string): RpcError {
  return new RpcError(
    "REQUEST_SUPERSEDED",
    "The call was applied before and its token cannot be handed out again",
    { metadata: { session_id: sessionId } },
  );
}
