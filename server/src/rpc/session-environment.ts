import type { Turns } from "../base/turns.js";
import type { ValidationOutcome } from "../session/outcome.js";
import type { SessionPolicy } from "../session/policy.js";
import type { RequestRecord, SessionStore } from "../store/session-store.js";
import { StoreUnavailableError } from "../store/store-error.js";
import { hashParts, keyDigest } from "../session/partition.js";
import { RpcError } from "./status.js";

/** What the handlers of the session service count. */
export interface SessionCounters {
  /** An answer to ValidateSession, or to one item of a batch. */
  countOutcome(outcome: ValidationOutcome): void;
  countCreated(): void;
  countEvents(events: number): void;
}

/** What every handler of the session service works with. */
export interface SessionEnvironment {
  readonly store: SessionStore;
  /** By name; "default" is always there. */
  readonly policies: ReadonlyMap<string, SessionPolicy>;
  /** The staleness bound L, in ms. */
  readonly maxStalenessMs: number;
  readonly counters: SessionCounters;
  /**
   * Changes that read a session, then write it under a version check, by session id. One at a
   * time in this replica, they conflict with those of other replicas only.
   */
  readonly turns: Turns;
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

/** The policy of a name, or INVALID_ARGUMENT. */
export function policyNamed(environment: SessionEnvironment, name: string): SessionPolicy {
  const policy = environment.policies.get(name);
  if (policy === undefined) {
    throw new RpcError("UNKNOWN_POLICY", "No policy of that name is configured", {
      metadata: { field: "policy" },
    });
  }
  return policy;
}

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
