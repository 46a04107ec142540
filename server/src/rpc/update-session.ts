import { Session, type UpdateSessionRequest, type UpdateSessionResponse } from "@coatcheck/proto";

import { mayTouch } from "../callers/caller.js";
import { randomBase62 } from "../base/random.js";
import type { SessionRecord, UpdateCommand, UpdateResult } from "../store/session-store.js";
import { toWireRevision } from "./convert.js";
import { sessionNotFound } from "./read-sessions.js";
import { enforceRules, invalidField } from "./rules.js";
import { encodeFacts, sessionOf, sortedAttributes } from "./session-codec.js";
import {
  CONFLICT_ATTEMPTS_MAX,
  requestIdReused,
  requestRecord,
  type SessionEnvironment,
} from "./session-environment.js";
import { RpcError } from "./status.js";
import type { CallContext } from "./unary.js";
import { ATTRIBUTES_BOUND, attributesFit, UPDATE_RULES } from "./validate.js";

/** No session is ever at it. */
const NO_VERSION = 0;

/**
 * Changes attributes: read, change, write under a version check, and again where
 * another change got in between. A caller that names the version it knows is not
 * helped that way, because it decided on what it had read.
 */
export async function updateSession(
  environment: SessionEnvironment,
  request: UpdateSessionRequest,
  context: CallContext,
): Promise<UpdateSessionResponse> {
  enforceRules(UPDATE_RULES, request);
  return await environment.turns.take(request.sessionId, () =>
    change(environment, request, context),
  );
}

async function change(
  environment: SessionEnvironment,
  request: UpdateSessionRequest,
  context: CallContext,
): Promise<UpdateSessionResponse> {
  const eventId = randomBase62(22);
  for (let attempt = 1; ; attempt += 1) {
    context.check();
    const record = await environment.store.read(request.sessionId);
    // A session never changes its tenant, so what was read here still holds when it is written.
    if (record === undefined || !mayTouch(context.caller, tenantOf(record))) {
      throw sessionNotFound(request.sessionId);
    }
    context.check();
    const result = await environment.store.update({
      ...toCommand(request, record, eventId),
      audit: context.origin,
    });
    if (result.kind !== "version-conflict") {
      return respond(environment, request, result);
    }
    if (request.expectedVersion !== undefined || attempt === CONFLICT_ATTEMPTS_MAX) {
      throw versionConflict(result.version);
    }
  }
}

/** The refusal of a change that others kept overtaking, or that was decided on an old version. */
export function versionConflict(version: number): RpcError {
  return new RpcError("VERSION_CONFLICT", "The session is at another version", {
    metadata: { version: String(version) },
  });
}

function toCommand(
  request: UpdateSessionRequest,
  record: SessionRecord,
  eventId: string,
): UpdateCommand {
  return {
    sessionId: request.sessionId,
    facts: changedFacts(request, record.facts),
    expectedVersion: isExpected(request, record) ? record.version : NO_VERSION,
    invalidateCaches: request.invalidateCaches,
    request: requestRecord({
      method: "UpdateSession",
      scope: [request.sessionId],
      requestId: request.requestId,
      effect: effectOf(request),
    }),
    eventId,
  };
}

function tenantOf(record: SessionRecord): string {
  return Session.decode(record.facts).tenantId;
}

// The facts are made from what was read. At the expected version or not, nothing else may be
// replaced by them; a repeat is answered all the same.
function isExpected({ expectedVersion }: UpdateSessionRequest, record: SessionRecord): boolean {
  return expectedVersion === undefined || expectedVersion === BigInt(record.version);
}

/** The facts after the change; undefined where they are the same. */
function changedFacts(request: UpdateSessionRequest, before: Buffer): Buffer | undefined {
  const facts = Session.decode(before);
  for (const key of request.remove) facts.attributes.delete(key);
  for (const [key, value] of request.set) facts.attributes.set(key, value);
  if (!attributesFit(facts.attributes)) {
    throw invalidField("set", `such that the session has ${ATTRIBUTES_BOUND}`);
  }
  const after = encodeFacts(facts);
  return after.equals(before) ? undefined : after;
}

function effectOf(request: UpdateSessionRequest): string[] {
  return [
    String(request.set.size),
    ...[...sortedAttributes(request.set)].flat(),
    ...[...request.remove].sort(),
    String(request.expectedVersion ?? ""),
    String(request.invalidateCaches),
  ];
}

function respond(
  environment: SessionEnvironment,
  request: UpdateSessionRequest,
  result: Exclude<UpdateResult, { kind: "version-conflict" }>,
): UpdateSessionResponse {
  switch (result.kind) {
    case "updated":
      if (request.invalidateCaches) environment.counters.countEvents(1);
      return { session: sessionOf(result.record), revision: toWireRevision(result.revision) };
    case "not-found":
      throw sessionNotFound(request.sessionId);
    case "not-live":
      throw new RpcError("SESSION_NOT_LIVE", "The session has ended", {
        metadata: { session_id: request.sessionId },
      });
    case "request-id-reused":
      throw requestIdReused();
  }
}
