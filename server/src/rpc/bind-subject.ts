import { randomBytes } from "node:crypto";

import { type RotateSessionResponse, Session } from "@coatcheck/proto";

import { mayTouch } from "../callers/caller.js";
import { randomBase62 } from "../base/random.js";
import type { ValidationOutcome } from "../session/outcome.js";
import { keyDigest, subjectPartition } from "../session/partition.js";
import { mintSessionId, tokenDigest } from "../session/token.js";
import type { AuditOrigin } from "../store/audit-trail.js";
import type {
  CreateCommand,
  CreateResult,
  ReplaceResult,
  RequestRecord,
  RevocationCause,
  ValidateReply,
} from "../store/session-store.js";
import { toWireBindingPolicy, millisToDuration, toWireOutcome, toWireRevision } from "./convert.js";
import { deviceOf, refuseUnlessCreated } from "./create-session.js";
import { rotateInPlace } from "./rotate-in-place.js";
import {
  allowsRecovery,
  deriveSuccessor,
  raisedFacts,
  refuse,
  type Rotation,
  rotationRecord,
} from "./rotation.js";
import { checkedOf, encodeFacts, sessionOf } from "./session-codec.js";
import {
  afterFirstEffect,
  DEFAULT_POLICY_NAME,
  policyFor,
  type SessionEnvironment,
  refuseWhileStopped,
} from "./session-environment.js";
import { RpcError } from "./status.js";
import type { CallContext } from "./unary.js";

/*
 * Login: an anonymous session becomes a subject's.
 *
 * A session id never changes its subject, and a subject's sessions live in the
 * subject's partition, so login makes a new session there and ends the anonymous
 * one with reason REPLACED. Two partitions, two steps, and the process may die
 * between them. Hence the order, and where the result is kept:
 *
 *   1. create, with the request record in the *subject's* slot. The secret is
 *      derived from the presented token's and a nonce that the record keeps.
 *   2. replace the anonymous session, once, by that successor and no other.
 *
 * A repeat finds the record in step 1, derives the same token from the token it
 * presents, and does step 2 if it is missing; it needs no live anonymous session
 * for that. Between the steps both sessions are alive, which hurts nobody: the
 * new one's token has been handed to nobody. Where step 2 is refused because the
 * anonymous session was revoked in between, or another login won it, the new
 * session is ended again; where it merely expired, nothing is missing.
 *
 * Step 1 may evict, and nothing brings an evicted session back. So of logins of
 * one anonymous session to one subject only the first creates: it claims the
 * anonymous session in the subject's slot. Another one does step 2 on the first
 * one's behalf, in case that died, and is answered as any late duplicate.
 *
 * A call whose presented token is no longer valid may create nothing, unless it
 * is the repeat of one whose token was. That is asked first, by a question that
 * writes nothing: see `isKnown`.
 */

/** The two sessions of a login. */
interface Login {
  readonly rotation: Rotation;
  readonly anonymous: Session;
  readonly request: RequestRecord | undefined;
  readonly origin: AuditOrigin;
}

type Created = Extract<CreateResult, { kind: "created" }>;

const REPLACED: RevocationCause = {
  reason: "replaced",
  initiatingEntity: "system",
  reasonAdmin: "",
  reasonUser: "",
};

/** Binds an anonymous session to a subject, or rotates one that is bound to it already. */
export async function bindSubject(
  environment: SessionEnvironment,
  rotation: Rotation,
  context: CallContext,
): Promise<RotateSessionResponse> {
  const record = await environment.store.read(rotation.presented.sessionId);
  if (record === undefined) {
    return refuse("not-found", undefined);
  }
  const anonymous = Session.decode(record.facts);
  if (!mayTouch(context.caller, anonymous.tenantId)) {
    return refuse("not-found", undefined);
  }
  const request = rotationRecord(rotation);
  const login = { rotation, anonymous, request, origin: context.origin };
  const presented = await present(environment, login);
  if (presented.outcome === "not-found") {
    return refuse("not-found", undefined);
  }
  // Only a holder of a token of the session is told whose it is.
  if (anonymous.subject !== "") {
    if (isAlive(presented.outcome)) refuseOtherSubject(login);
    return await rotateInPlace(environment, rotation, context);
  }
  if (!isAlive(presented.outcome) && !(await isKnown(environment, login))) {
    // A token that is not valid any more installs nothing; whether it was stolen is asked there.
    return await rotateInPlace(environment, rotation, context);
  }
  await environment.rates.admitCreate({
    caller: context.callerKey,
    tenantId: anonymous.tenantId,
    subject: rotation.request.bindSubject,
  });
  context.check();
  refuseWhileStopped(environment);
  return await logIn(environment, login);
}

function refuseOtherSubject({ rotation, anonymous: bound }: Login): void {
  if (bound.subject !== rotation.request.bindSubject) {
    throw new RpcError(
      "SUBJECT_ALREADY_BOUND",
      "Cannot bind the session: it belongs to another subject",
      { metadata: { session_id: bound.sessionId } },
    );
  }
}

/** Asks about the presented token without counting it as a use. */
async function present(
  environment: SessionEnvironment,
  { rotation, anonymous }: Login,
): Promise<ValidateReply> {
  return await environment.store.validate({
    sessionId: rotation.presented.sessionId,
    tokenDigest: rotation.presentedDigest,
    tenantId: anonymous.tenantId,
    touch: false,
    audienceClientIds: [],
    binding: undefined,
    requirements: undefined,
    minRevision: undefined,
  });
}

/**
 * Whether this very login was made before. The store looks a request up before
 * anything else, so revoking a session that does not exist, under the login's key
 * and with arguments that no login has, is refused as a reused request id exactly
 * where the record exists, and changes nothing anywhere where it does not.
 */
async function isKnown(environment: SessionEnvironment, login: Login): Promise<boolean> {
  if (login.request === undefined) {
    return false;
  }
  const answer = await environment.store.revoke({
    sessionId: mintSessionId(partitionOfLogin(login)),
    presentedDigest: undefined,
    cause: REPLACED,
    request: { key: login.request.key, argumentsDigest: "" },
    eventId: randomBase62(22),
  });
  return answer.kind === "request-id-reused";
}

async function logIn(
  environment: SessionEnvironment,
  login: Login,
): Promise<RotateSessionResponse> {
  const result = await environment.store.create({
    ...toCommand(environment, login),
    audit: login.origin,
  });
  if (result.kind === "claimed") {
    const replaced = await replace(environment, login, result.sessionId);
    return replaced.kind === "replaced"
      ? refuse("rotated", undefined)
      : refuse(replaced.outcome, replaced.end);
  }
  if (result.kind === "superseded") {
    // The new session has moved on, so its token cannot be handed out; but the anonymous tokens
    // must die all the same, or a fixed one would outlive the login.
    await afterFirstEffect(replace(environment, login, result.sessionId));
  }
  const created = refuseUnlessCreated(result);
  if (!created.repeated) {
    environment.counters.countCreated();
    environment.counters.countEvents(created.evicted.length);
    environment.counters.countEnded("limit-exceeded", created.evicted.length);
  }
  const replaced = await afterFirstEffect(replace(environment, login, created.sessionId));
  if (replaced.kind === "replaced") {
    environment.counters.countEvents(1);
    environment.counters.countEnded("replaced", 1);
    return handOut(environment, login, { created, replaced });
  }
  return isExpiry(replaced.outcome)
    ? handOut(environment, login, { created, replaced: undefined })
    : await afterFirstEffect(undo(environment, login, { created, refusal: replaced }));
}

async function replace(
  environment: SessionEnvironment,
  { rotation, origin }: Login,
  successorId: string,
): Promise<ReplaceResult> {
  return await environment.store.replace({
    sessionId: rotation.presented.sessionId,
    presentedDigest: rotation.presentedDigest,
    successorId,
    eventId: randomBase62(22),
    audit: origin,
  });
}

/** Ends the new session as the anonymous one was ended. */
async function undo(
  environment: SessionEnvironment,
  { origin }: Login,
  parts: {
    readonly created: Created;
    readonly refusal: Extract<ReplaceResult, { kind: "refused" }>;
  },
): Promise<RotateSessionResponse> {
  const { created, refusal } = parts;
  const { end } = refusal;
  const result = await environment.store.revoke({
    sessionId: created.record.sessionId,
    presentedDigest: undefined,
    cause:
      end === undefined
        ? REPLACED
        : { ...REPLACED, reason: end.reason, initiatingEntity: end.initiatingEntity },
    request: undefined,
    eventId: randomBase62(22),
    audit: origin,
  });
  if (result.kind === "revoked") {
    environment.counters.countEvents(1);
    environment.counters.countEnded(end?.reason ?? "replaced", 1);
  }
  return refuse(refusal.outcome, end);
}

function handOut(
  environment: SessionEnvironment,
  login: Login,
  parts: {
    readonly created: Created;
    readonly replaced: Extract<ReplaceResult, { kind: "replaced" }> | undefined;
  },
): RotateSessionResponse {
  const { created, replaced } = parts;
  const nonce = Buffer.from(created.nonce, "hex");
  const successor = deriveSuccessor(login.rotation, created.sessionId, nonce);
  const session = sessionOf(created.record);
  return {
    outcome: toWireOutcome("valid"),
    session,
    token: successor.token,
    recoveryToken: allowsRecovery(environment, session.policy) ? successor.recoveryToken : "",
    previousValidFor: millisToDuration(0),
    revision: toWireRevision(created.revision),
    replacedRevision: replaced === undefined ? undefined : toWireRevision(replaced.revision),
    ended: undefined,
  };
}

function toCommand(environment: SessionEnvironment, login: Login): CreateCommand {
  const { rotation, anonymous } = login;
  const policyName = anonymous.policy === "" ? DEFAULT_POLICY_NAME : anonymous.policy;
  const { tenantId } = anonymous;
  const policy = policyFor(environment, { tenantId, name: policyName });
  const sessionId = mintSessionId(partitionOfLogin(login));
  const nonce = randomBytes(16);
  const successor = deriveSuccessor(rotation, sessionId, nonce);
  const facts: Session = {
    ...raisedFacts(anonymous, rotation.request),
    sessionId,
    subject: rotation.request.bindSubject,
    bindingPolicy: toWireBindingPolicy(policy.binding),
    replacesSessionId: anonymous.sessionId,
  };
  return {
    sessionId,
    tenantId: facts.tenantId,
    subject: facts.subject,
    clientId: facts.clientId,
    device: deviceOf(facts),
    policy,
    checked: checkedOf(facts),
    facts: encodeFacts(facts),
    tokenDigest: tokenDigest(successor.token),
    nonce: nonce.toString("hex"),
    recoveryDigest: policy.recoveryWindowMs > 0 ? tokenDigest(successor.recoveryToken) : undefined,
    request: login.request,
    tenantSessionsMax: environment.tenantRules(tenantId)?.maxLiveSessions,
    claim: keyDigest("login", anonymous.sessionId, facts.subject),
    eventId: randomBase62(22),
  };
}

function partitionOfLogin({ rotation, anonymous }: Login): number {
  return subjectPartition(anonymous.tenantId, rotation.request.bindSubject);
}

// A rotation brings no binding, so an enforced one cannot be met, and is not asked for.
function isAlive(outcome: ValidationOutcome): boolean {
  return outcome === "valid" || outcome === "binding-mismatch";
}

function isExpiry(outcome: ValidationOutcome): boolean {
  return outcome === "expired-idle" || outcome === "expired-absolute";
}
