import type { RotateSessionRequest, RotateSessionResponse, Session } from "@coatcheck/proto";

import type { RotationTrigger, SessionEnd, ValidationOutcome } from "../session/outcome.js";
import type { Revision } from "../session/revision.js";
import {
  deriveRecoverySecret,
  deriveSecret,
  formatRecoveryToken,
  formatToken,
  type ParsedToken,
} from "../session/token.js";
import type { RequestRecord } from "../store/session-store.js";
import { toWireEnd, toWireOutcome, toWireRevision } from "./convert.js";
import {
  DEFAULT_POLICY_NAME,
  requestRecord,
  type SessionEnvironment,
} from "./session-environment.js";

/*
 * Rotation. The successor's secret is derived from the presented one and a
 * 16-byte nonce that the store keeps with the rotation, so that a second tab, or
 * a repeat, is handed the same successor and the store never holds a secret. The
 * key is the presented token's 43 secret characters and never the whole token
 * (token.ts says why).
 *
 * What the trigger permits is the store's business. Here is only what must be
 * read before the rotation: a trigger other than PERIODIC may raise facts, and
 * facts are rewritten under a version check.
 */

/** One rotation as all its steps see it. */
export interface Rotation {
  readonly request: RotateSessionRequest;
  readonly trigger: RotationTrigger;
  readonly presented: ParsedToken;
  readonly presentedDigest: string;
}

/** The tokens that follow a presented one. */
export interface Successor {
  readonly token: string;
  readonly recoveryToken: string;
}

/** The tokens of `sessionId` that follow the presented one, by the rotation's nonce. */
export function deriveSuccessor(rotation: Rotation, sessionId: string, nonce: Buffer): Successor {
  const source = { key: rotation.presented.secret, nonce };
  return {
    token: formatToken(sessionId, deriveSecret(source)),
    recoveryToken: formatRecoveryToken(sessionId, deriveRecoverySecret(source)),
  };
}

/** The answer that hands out no token. */
export function refuse(
  outcome: ValidationOutcome,
  end: SessionEnd | undefined,
  revision?: Revision,
): RotateSessionResponse {
  return {
    outcome: toWireOutcome(outcome),
    session: undefined,
    token: "",
    recoveryToken: "",
    previousValidFor: undefined,
    revision: revision === undefined ? undefined : toWireRevision(revision),
    replacedRevision: undefined,
    ended: end === undefined ? undefined : toWireEnd(end),
  };
}

/** Facts with what the request raises; what it does not give stays. */
export function raisedFacts(facts: Session, request: RotateSessionRequest): Session {
  return {
    ...facts,
    aal: request.aal === 0 ? facts.aal : request.aal,
    amr: request.amr.length === 0 ? facts.amr : request.amr,
    authenticatedAt: request.authenticatedAt ?? facts.authenticatedAt,
  };
}

/** The idempotency record of a rotation: another token or trigger is another rotation. */
export function rotationRecord({
  request,
  presented,
  presentedDigest,
  trigger,
}: Rotation): RequestRecord | undefined {
  const at = request.authenticatedAt;
  return requestRecord({
    method: "RotateSession",
    scope: [presented.sessionId, presentedDigest, trigger],
    requestId: request.requestId,
    effect: [
      request.bindSubject,
      String(request.aal),
      at === undefined ? "" : `${String(at.seconds)}.${at.nanos}`,
      ...request.amr,
    ],
  });
}

/** Whether sessions of a policy can be recovered. One that is configured no more cannot. */
export function allowsRecovery(environment: SessionEnvironment, policyName: string): boolean {
  const policy = environment.policies.get(policyName === "" ? DEFAULT_POLICY_NAME : policyName);
  return policy !== undefined && policy.recoveryWindowMs > 0;
}
