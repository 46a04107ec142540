import {
  Propagation,
  type RevokeSessionRequest,
  type RevokeSessionResponse,
} from "@coatcheck/proto";

import { tenantIdsOf } from "../callers/caller.js";
import { randomBase62 } from "../base/random.js";
import { parseToken, tokenDigest } from "../session/token.js";
import type { RevocationCause, RevokeResult } from "../store/session-store.js";
import {
  fromWireEntity,
  fromWireReason,
  millisToDuration,
  toWireReason,
  toWireRevision,
} from "./convert.js";
import { enforceRules } from "./rules.js";
import { requestIdReused, requestRecord, type SessionEnvironment } from "./session-environment.js";
import type { CallContext } from "./unary.js";
import { REVOKE_RULES } from "./validate.js";

/*
 * How far a revocation reaches. When the store has it, every validation that
 * starts afterwards says no. A cache may still say yes until its lease runs out,
 * at most lmax later by the cache's own clock: lmax is the largest staleness
 * bound that was ever granted, as the revoking script read it, and the cache's
 * clock and ours may each be wrong by 500 ppm. Nothing more than COMMITTED is
 * confirmed here, so nothing more is claimed (FAULTS R5).
 */

/** The greatest clock-rate error of either side (DESIGN §1). */
const CLOCK_RATE_ERROR = 0.0005;

/** A session to end, by its id or by a token of it. */
interface Target {
  readonly sessionId: string;
  readonly presentedDigest: string | undefined;
}

/** Fields that every revoking request has. */
export interface CauseFields {
  readonly reason: number;
  readonly initiatingEntity: number;
  readonly reasonAdmin: string;
  readonly reasonUser: string;
}

/** Ends one session. */
export async function revokeSession(
  environment: SessionEnvironment,
  request: RevokeSessionRequest,
  { caller, origin }: CallContext,
): Promise<RevokeSessionResponse> {
  enforceRules(REVOKE_RULES, request);
  const target = readTarget(request);
  if (target === undefined) {
    return respond({ kind: "not-found" });
  }
  const result = await environment.store.revoke({
    ...target,
    tenantIds: tenantIdsOf(caller),
    cause: causeOf(request),
    request: requestRecord({
      method: "RevokeSession",
      scope: [target.sessionId, target.presentedDigest ?? ""],
      requestId: request.requestId,
      effect: causeEffect(request),
    }),
    eventId: randomBase62(22),
    audit: origin,
  });
  if (result.kind === "revoked") {
    environment.counters.countEvents(1);
    environment.counters.countEnded(causeOf(request).reason, 1);
  }
  return respond(result);
}

/** Why and by whom, from numbers that the rules have checked. */
export function causeOf(fields: CauseFields): RevocationCause {
  return {
    reason: fromWireReason(fields.reason) ?? "unspecified",
    initiatingEntity: fromWireEntity(fields.initiatingEntity) ?? "unspecified",
    reasonAdmin: fields.reasonAdmin,
    reasonUser: fields.reasonUser,
  };
}

/** The same as part of what decides the effect of a call. */
export function causeEffect(fields: CauseFields): string[] {
  return [
    String(toWireReason(causeOf(fields).reason)),
    String(fields.initiatingEntity),
    fields.reasonAdmin,
    fields.reasonUser,
  ];
}

/** After how long no cache can accept what was revoked, in whole ms, rounded up. */
export function effectiveWithinMs(leaseMaxMs: number): number {
  return Math.ceil(leaseMaxMs * (1 + 2 * CLOCK_RATE_ERROR));
}

function readTarget({ target }: RevokeSessionRequest): Target | undefined {
  if (target?.$case === "sessionId") {
    return { sessionId: target.value, presentedDigest: undefined };
  }
  const parsed = target === undefined ? undefined : parseToken(target.value);
  return parsed === undefined || target === undefined
    ? undefined
    : { sessionId: parsed.sessionId, presentedDigest: tokenDigest(target.value) };
}

function respond(result: RevokeResult): RevokeSessionResponse {
  switch (result.kind) {
    case "revoked":
    case "already-revoked":
      return {
        found: true,
        alreadyRevoked: result.kind === "already-revoked",
        revision: toWireRevision(result.revision),
        achieved: Propagation.COMMITTED,
        effectiveWithin: millisToDuration(effectiveWithinMs(result.leaseMaxMs)),
      };
    case "not-found":
      return {
        found: false,
        alreadyRevoked: false,
        revision: undefined,
        achieved: Propagation.COMMITTED,
        effectiveWithin: undefined,
      };
    case "request-id-reused":
      throw requestIdReused();
  }
}
