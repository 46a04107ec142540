import * as wire from "@coatcheck/proto";
import type { ValidationReply } from "../base/session.js";
import {
  ENTITIES,
  fromDuration,
  fromOptionalRevision,
  fromOutcome,
  fromPropagation,
  fromSession,
  fromSessionEnd,
  PROPAGATIONS,
  REASONS,
  toDuration,
  toRevision,
  toTimestamp,
  TRIGGERS,
} from "./convert.js";
import type {
  CreateCall,
  CreateReply,
  ListReply,
  RevocationWords,
  RevokeCall,
  RevokeReply,
  RevokeSubjectCall,
  RevokeSubjectReply,
  RotateCall,
  RotateReply,
  SessionUse,
  UpdateCall,
  UpdateReply,
  ValidateCall,
} from "./transport.js";

/** A question. Requirements, binding and audience stay here: facts are cached, verdicts never. */
export function toValidateRequest(call: ValidateCall): wire.ValidateSessionRequest {
  return {
    tenantId: call.tenantId,
    token: call.token,
    touch: call.touch ? wire.TouchMode.TOUCH : wire.TouchMode.PEEK,
    audienceClientIds: [],
    binding: undefined,
    requirements: undefined,
    minRevision: call.minRevision === undefined ? undefined : toRevision(call.minRevision),
  };
}

/** An answer. Where no duration is told it is zero, which keeps nothing. */
export function fromValidateResponse(response: wire.ValidateSessionResponse): ValidationReply {
  const outcome = fromOutcome(response.outcome);
  const isValid = outcome === "valid";
  return {
    outcome,
    session: isValid ? fromSession(response.session) : undefined,
    asOf: fromOptionalRevision(response.asOf),
    issued: fromOptionalRevision(response.issued),
    validForMs: fromDuration(response.validFor, 0),
    superseded: response.superseded,
    authenticationAgeMs:
      response.authenticationAge === undefined
        ? undefined
        : fromDuration(response.authenticationAge, 0),
    cacheable: response.cacheable,
    maxStalenessMs: fromDuration(response.maxStaleness, 0),
    ended: fromSessionEnd(response.ended),
  };
}

/** Uses to report. */
export function toTouchRequest(uses: readonly SessionUse[]): wire.TouchSessionsRequest {
  return {
    items: uses.map((use) => ({
      sessionId: use.sessionId,
      tokenSha256: Buffer.from(use.digest, "hex"),
      idleFor: toDuration(use.idleForMs),
    })),
  };
}

/** A session to create. */
export function toCreateRequest(call: CreateCall): wire.CreateSessionRequest {
  return wire.CreateSessionRequest.create({
    tenantId: call.tenantId,
    subject: call.subject,
    policy: call.policy,
    clientId: call.clientId,
    device: wire.Device.create(call.device),
    origin: call.origin,
    aal: call.aal,
    amr: [...call.amr],
    authenticatedAt: toTimestamp(call.authenticatedAtMs),
    attributes: new Map(call.attributes),
    actor: call.actor,
    requestId: call.requestId,
    retrySecret: call.retrySecret,
  });
}

/** What was created. */
export function fromCreateResponse(response: wire.CreateSessionResponse): CreateReply {
  return {
    session: fromSession(response.session),
    token: response.token,
    recoveryToken: response.recoveryToken,
    evicted: response.evicted,
    revision: fromOptionalRevision(response.revision),
  };
}

/** A page of sessions. */
export function fromListResponse(response: wire.ListSessionsResponse): ListReply {
  return { sessions: response.sessions.map(fromSession), nextPageToken: response.nextPageToken };
}

/** What to change. */
export function toUpdateRequest(call: UpdateCall): wire.UpdateSessionRequest {
  return {
    sessionId: call.sessionId,
    set: new Map(call.set),
    remove: [...call.remove],
    expectedVersion: call.expectedVersion === undefined ? undefined : BigInt(call.expectedVersion),
    invalidateCaches: call.invalidateCaches,
    requestId: call.requestId,
  };
}

/** The changed session. */
export function fromUpdateResponse(response: wire.UpdateSessionResponse): UpdateReply {
  return {
    session: fromSession(response.session),
    revision: fromOptionalRevision(response.revision),
  };
}

/** A token to replace. */
export function toRotateRequest(call: RotateCall): wire.RotateSessionRequest {
  return {
    token: call.token,
    trigger: TRIGGERS[call.trigger],
    bindSubject: call.bindSubject,
    aal: call.aal,
    amr: [...call.amr],
    authenticatedAt: toTimestamp(call.authenticatedAtMs),
    requestId: call.requestId,
  };
}

/** The successor, or why there is none. */
export function fromRotateResponse(response: wire.RotateSessionResponse): RotateReply {
  const outcome = fromOutcome(response.outcome);
  return {
    outcome,
    session: outcome === "valid" ? fromSession(response.session) : undefined,
    token: response.token,
    recoveryToken: response.recoveryToken,
    previousValidForMs: fromDuration(response.previousValidFor, 0),
    revision: fromOptionalRevision(response.revision),
    replacedRevision: fromOptionalRevision(response.replacedRevision),
    ended: fromSessionEnd(response.ended),
  };
}

/** A session to end. */
export function toRevokeRequest(call: RevokeCall): wire.RevokeSessionRequest {
  const { target } = call;
  return {
    target:
      target.kind === "token"
        ? { $case: "token", value: target.token }
        : { $case: "sessionId", value: target.sessionId },
    ...toWords(call),
  };
}

/** What became of it. */
export function fromRevokeResponse(response: wire.RevokeSessionResponse): RevokeReply {
  return {
    found: response.found,
    alreadyRevoked: response.alreadyRevoked,
    revision: fromOptionalRevision(response.revision),
    achieved: fromPropagation(response.achieved),
    effectiveWithinMs: fromDuration(response.effectiveWithin, Number.POSITIVE_INFINITY),
  };
}

/** A subject's sessions to end. */
export function toRevokeSubjectRequest(call: RevokeSubjectCall): wire.RevokeSubjectSessionsRequest {
  return {
    tenantId: call.tenantId,
    subject: call.subject,
    scope: toScope(call.scope),
    ...toWords(call),
  };
}

/** What became of it. */
export function fromRevokeSubjectResponse(
  response: wire.RevokeSubjectSessionsResponse,
): RevokeSubjectReply {
  return {
    revokedCountEstimate: Number(response.revokedCountEstimate),
    revision: fromOptionalRevision(response.revision),
    achieved: fromPropagation(response.achieved),
    effectiveWithinMs: fromDuration(response.effectiveWithin, Number.POSITIVE_INFINITY),
  };
}

function toScope(scope: RevokeSubjectCall["scope"]): wire.RevokeSubjectSessionsRequest["scope"] {
  switch (scope.kind) {
    case "all":
      return undefined;
    case "except":
      return { $case: "exceptSessionId", value: scope.sessionId };
    case "device":
      return { $case: "deviceId", value: scope.deviceId };
  }
}

function toWords(
  words: RevocationWords,
): Pick<
  wire.RevokeSessionRequest,
  "reason" | "initiatingEntity" | "reasonAdmin" | "reasonUser" | "propagation" | "requestId"
> {
  return {
    reason: REASONS[words.reason],
    initiatingEntity: ENTITIES[words.initiatingEntity],
    reasonAdmin: words.reasonAdmin,
    reasonUser: words.reasonUser,
    propagation: PROPAGATIONS[words.propagation],
    requestId: words.requestId,
  };
}
