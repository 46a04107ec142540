import { randomBytes } from "node:crypto";

import { type RotateSessionRequest, type RotateSessionResponse, Session } from "@coatcheck/proto";

import { tenantIdsOf } from "../callers/caller.js";
import { randomBase62 } from "../base/random.js";
import { tokenDigest } from "../session/token.js";
import type { RotateCommand, RotateResult } from "../store/session-store.js";
import { millisToDuration, toWireOutcome, toWireRevision } from "./convert.js";
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
  CONFLICT_ATTEMPTS_MAX,
  requestIdReused,
  requestSuperseded,
  type SessionEnvironment,
} from "./session-environment.js";
import type { CallContext } from "./unary.js";
import { versionConflict } from "./update-session.js";

/** Rotates a session that keeps its id. */
export async function rotateInPlace(
  environment: SessionEnvironment,
  rotation: Rotation,
  context: CallContext,
): Promise<RotateSessionResponse> {
  return raises(rotation.request)
    ? await environment.turns.take(rotation.presented.sessionId, () =>
        rotate(environment, rotation, context),
      )
    : await rotate(environment, rotation, context);
}

async function rotate(
  environment: SessionEnvironment,
  rotation: Rotation,
  context: CallContext,
): Promise<RotateSessionResponse> {
  const nonce = randomBytes(16);
  const eventId = randomBase62(22);
  for (let attempt = 1; ; attempt += 1) {
    // It may have waited for its turn.
    context.check();
    const raised = raises(rotation.request) ? await raise(environment, rotation) : undefined;
    if (raised === "not-found") {
      return refuse("not-found", undefined);
    }
    context.check();
    const tenantIds = tenantIdsOf(context.caller);
    const command = { ...toCommand(rotation, { nonce, eventId, raised }), tenantIds };
    const result = await environment.store.rotate({ ...command, audit: context.origin });
    if (result.kind !== "version-conflict") {
      return respond(environment, rotation, { result, nonce: command.nonce });
    }
    if (attempt === CONFLICT_ATTEMPTS_MAX) {
      throw versionConflict(result.version);
    }
  }
}

function raises(request: RotateSessionRequest): boolean {
  return request.aal !== 0 || request.amr.length > 0 || request.authenticatedAt !== undefined;
}

async function raise(
  environment: SessionEnvironment,
  rotation: Rotation,
): Promise<RotateCommand["raised"] | "not-found"> {
  const record = await environment.store.read(rotation.presented.sessionId);
  if (record === undefined) {
    return "not-found";
  }
  const facts = raisedFacts(Session.decode(record.facts), rotation.request);
  return {
    facts: encodeFacts(facts),
    expectedVersion: record.version,
    checked: checkedOf(facts),
  };
}

function toCommand(
  rotation: Rotation,
  parts: {
    readonly nonce: Buffer;
    readonly eventId: string;
    readonly raised: RotateCommand["raised"];
  },
): RotateCommand {
  const { sessionId } = rotation.presented;
  const successor = deriveSuccessor(rotation, sessionId, parts.nonce);
  return {
    sessionId,
    presentedDigest: rotation.presentedDigest,
    trigger: rotation.trigger,
    successorDigest: tokenDigest(successor.token),
    nonce: parts.nonce.toString("hex"),
    // Whether the policy allows recovery is known after the rotation, from the record. The digest
    // of a token that is never handed out opens nothing.
    recoveryDigest: tokenDigest(successor.recoveryToken),
    raised: parts.raised,
    request: rotationRecord(rotation),
    eventId: parts.eventId,
  };
}

function respond(
  environment: SessionEnvironment,
  rotation: Rotation,
  { result, nonce }: { result: Exclude<RotateResult, { kind: "version-conflict" }>; nonce: string },
): RotateSessionResponse {
  switch (result.kind) {
    case "rotated":
      if (result.nonce === nonce) environment.counters.countEvents(1);
      return handOut(environment, rotation, result);
    case "refused":
      // Only a refusal that ended the session has an event: its token was used again.
      if (result.revision !== undefined) {
        environment.counters.countEvents(1);
        environment.counters.countEnded("token-reuse", 1);
      }
      return refuse(result.outcome, result.end, result.revision);
    case "superseded":
      throw requestSuperseded(result.sessionId);
    case "request-id-reused":
      throw requestIdReused();
  }
}

function handOut(
  environment: SessionEnvironment,
  rotation: Rotation,
  result: Extract<RotateResult, { kind: "rotated" }>,
): RotateSessionResponse {
  const { record } = result;
  const nonce = Buffer.from(result.nonce, "hex");
  const successor = deriveSuccessor(rotation, record.sessionId, nonce);
  const session = sessionOf(record);
  return {
    outcome: toWireOutcome("valid"),
    session,
    token: successor.token,
    recoveryToken: allowsRecovery(environment, session.policy) ? successor.recoveryToken : "",
    previousValidFor: millisToDuration(result.previousValidForMs),
    revision: toWireRevision(result.revision),
    replacedRevision: undefined,
    ended: undefined,
  };
}
