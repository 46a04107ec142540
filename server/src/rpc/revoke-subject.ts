import {
  Propagation,
  type RevokeSubjectSessionsRequest,
  type RevokeSubjectSessionsResponse,
} from "@coatcheck/proto";

import { randomBase62 } from "../base/random.js";
import { subjectPartition } from "../session/partition.js";
import type { Revision } from "../session/revision.js";
import type { DeviceProgress, RequestRecord, RevokeDeviceResult } from "../store/session-store.js";
import { millisToDuration, toWireRevision } from "./convert.js";
import { causeEffect, causeOf, effectiveWithinMs } from "./revoke-session.js";
import { enforceRules } from "./rules.js";
import {
  afterFirstEffect,
  requestIdReused,
  requestRecord,
  type SessionEnvironment,
} from "./session-environment.js";
import { RpcError } from "./status.js";
import type { CallContext } from "./unary.js";
import { REVOKE_SUBJECT_RULES } from "./validate.js";

// 100 sessions a batch: a million sessions of one subject. More is a runaway issuer, and the
// repeat with the same request id goes on where this call stopped.
const DEVICE_BATCHES_MAX = 10_000;

interface Ended {
  readonly count: number;
  readonly revision: Revision;
  readonly leaseMaxMs: number;
}

/** Ends all sessions of a subject by a cutoff, or those of one device one by one. */
export async function revokeSubjectSessions(
  environment: SessionEnvironment,
  request: RevokeSubjectSessionsRequest,
  context: CallContext,
): Promise<RevokeSubjectSessionsResponse> {
  enforceRules(REVOKE_SUBJECT_RULES, request);
  const ended =
    request.scope?.$case === "deviceId"
      ? await revokeDevice(environment, { request, deviceId: request.scope.value }, context)
      : await revokeAll(environment, request, context);
  return {
    revokedCountEstimate: BigInt(ended.count),
    revision: toWireRevision(ended.revision),
    achieved: Propagation.COMMITTED,
    effectiveWithin: millisToDuration(effectiveWithinMs(ended.leaseMaxMs)),
  };
}

async function revokeAll(
  environment: SessionEnvironment,
  request: RevokeSubjectSessionsRequest,
  { origin }: CallContext,
): Promise<Ended> {
  const { tenantId, subject } = request;
  const result = await environment.store.revokeScope({
    partition: subjectPartition(tenantId, subject),
    scope: {
      kind: "subject",
      tenantId,
      subject,
      exceptSessionId: request.scope?.$case === "exceptSessionId" ? request.scope.value : undefined,
    },
    cause: causeOf(request),
    request: recordOf(request),
    eventId: randomBase62(22),
    audit: origin,
  });
  switch (result.kind) {
    case "revoked":
      environment.counters.countEvents(1);
      environment.counters.countEnded(causeOf(request).reason, result.countEstimate);
      return { ...result, count: result.countEstimate };
    case "except-not-live":
      throw new RpcError(
        "EXCEPT_SESSION_NOT_LIVE",
        "Cannot spare except_session_id: it is not a live session of the subject",
        { metadata: { field: "except_session_id" } },
      );
    case "too-many-cutoffs":
      throw new RpcError(
        "TOO_MANY_CUTOFFS",
        `The tenant has as many cutoffs as are kept: at most ${result.limit}`,
      );
    case "request-id-reused":
      throw requestIdReused();
  }
}

async function revokeDevice(
  environment: SessionEnvironment,
  { request, deviceId }: { request: RevokeSubjectSessionsRequest; deviceId: string },
  context: CallContext,
): Promise<Ended> {
  let progress: DeviceProgress | undefined;
  let counted = 0;
  for (let batch = 1; batch <= DEVICE_BATCHES_MAX; batch += 1) {
    const step = environment.store.revokeDevice({
      tenantId: request.tenantId,
      subject: request.subject,
      deviceId,
      progress,
      cause: causeOf(request),
      request: recordOf(request),
      eventId: randomBase62(22),
      audit: context.origin,
    });
    const result = counted === 0 ? await step : await afterFirstEffect(step);
    const made: Extract<RevokeDeviceResult, { kind: "progress" }> = refuseReuse(result);
    environment.counters.countEvents(made.progress.revokedCount - counted);
    environment.counters.countEnded(causeOf(request).reason, made.progress.revokedCount - counted);
    counted = made.progress.revokedCount;
    progress = made.progress;
    if (made.finished) {
      return { count: counted, revision: progress.revision, leaseMaxMs: made.leaseMaxMs };
    }
    if (context.remainingMs() <= 0 || context.signal.aborted) break;
  }
  throw new RpcError(
    "STORE_OUTCOME_UNKNOWN",
    "Ran out of time with some sessions revoked; a repeat with the same request_id goes on",
    { metadata: { revoked: String(counted) } },
  );
}

function refuseReuse(
  result: RevokeDeviceResult,
): Extract<RevokeDeviceResult, { kind: "progress" }> {
  if (result.kind === "request-id-reused") {
    throw requestIdReused();
  }
  return result;
}

function recordOf(request: RevokeSubjectSessionsRequest): RequestRecord | undefined {
  return requestRecord({
    method: "RevokeSubjectSessions",
    scope: [request.tenantId],
    requestId: request.requestId,
    effect: [
      request.subject,
      request.scope?.$case ?? "",
      request.scope?.value ?? "",
      ...causeEffect(request),
    ],
  });
}
