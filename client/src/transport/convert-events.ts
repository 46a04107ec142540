import type * as wire from "@coatcheck/proto";
import * as proto from "@coatcheck/proto";
import type {
  EventTarget,
  Reset,
  ResetReason,
  RevocationEvent,
  SyncReply,
  WatchMessage,
} from "../base/event.js";
import {
  fromDuration,
  fromEntity,
  fromOptionalRevision,
  fromRange,
  fromReason,
  fromRevision,
  fromTimestamp,
  fromTrigger,
  toRevision,
} from "./convert.js";
import type { FollowCall, SyncCall } from "./transport.js";

/** A request to watch. */
export function toWatchRequest(call: FollowCall): wire.WatchRevocationsRequest {
  return {
    position: call.position.map(toRevision),
    tenantIds: [...call.tenantIds],
    deploymentId: call.deploymentId,
    clientName: call.clientName,
    instanceId: call.instanceId,
    sdkVersion: call.sdkVersion,
  };
}

/** A request to sync. */
export function toSyncRequest(call: SyncCall): wire.SyncRevocationsRequest {
  return {
    ...toWatchRequest(call),
    staleAllowed: call.staleAllowed,
    staleAccepts: BigInt(call.staleAccepts),
  };
}

/** What a Sync returned. Without a bound it grants no lease. */
export function fromSyncResponse(response: wire.SyncRevocationsResponse): SyncReply {
  return {
    ranges: response.ranges.map(fromRange),
    events: response.events.map(fromEvent),
    heads: response.heads.map(fromRevision),
    resets: response.resets.map(fromReset),
    maxStalenessMs: fromDuration(response.maxStaleness, 0),
    deploymentId: response.deploymentId,
  };
}

/**
 * A message of the stream. Undefined where it says nothing that is known here: a
 * newer authority may say more, and what it leaves out of the log its ranges show.
 */
export function fromWatchResponse(
  response: wire.WatchRevocationsResponse,
): WatchMessage | undefined {
  const { body } = response;
  switch (body?.$case) {
    case "opened":
      return {
        kind: "opened",
        position: body.value.position.map(fromRevision),
        deploymentId: body.value.deploymentId,
        maxStalenessMs: fromDuration(body.value.maxStaleness, 0),
      };
    case "batch":
      return {
        kind: "batch",
        ranges: body.value.ranges.map(fromRange),
        events: body.value.events.map(fromEvent),
      };
    case "progress":
      return { kind: "progress", ranges: body.value.ranges.map(fromRange) };
    case "reset":
      return { kind: "reset", reset: fromReset(body.value) };
    case "goaway":
      return { kind: "goaway", reconnectWithinMs: fromDuration(body.value.reconnectWithin, 0) };
    case undefined:
      return undefined;
  }
}

function fromReset(reset: wire.Reset): Reset {
  return { at: reset.at.map(fromRevision), reason: fromResetReason(reset.reason) };
}

function fromResetReason(reason: wire.ResetReason): ResetReason {
  switch (reason) {
    case proto.ResetReason.TOO_OLD:
      return "too-old";
    case proto.ResetReason.HISTORY_FORKED:
      return "history-forked";
    case proto.ResetReason.UNSPECIFIED:
    default:
      return "unspecified";
  }
}

/**
 * An event. Of one whose kind or target a newer authority invented it is known
 * that something changed: what is cached of the target is dropped.
 */
function fromEvent(event: wire.RevocationEvent): RevocationEvent {
  const target = fromTarget(event);
  const isRevoked = target !== undefined && event.kind === proto.RevocationEventKind.REVOKED;
  return {
    revision: fromRevision(event.revision),
    eventId: event.eventId,
    kind: isRevoked ? "revoked" : "changed",
    trigger: fromTrigger(event.trigger),
    target: target ?? { kind: "all" },
    cutoff: fromOptionalRevision(event.cutoff),
    tenantId: event.tenantId,
    reason: fromReason(event.reason),
    initiatingEntity: fromEntity(event.initiatingEntity),
    revokedAtMs: fromTimestamp(event.revokedAt),
  };
}

function fromTarget({ target }: wire.RevocationEvent): EventTarget | undefined {
  switch (target?.$case) {
    case "session":
      return { kind: "session", sessionId: target.value.sessionId };
    case "subject":
      return { kind: "subject", subject: target.value.subject, except: target.value.except };
    case "tenant":
      return {
        kind: "tenant",
        clientId: target.value.clientId,
        createdBeforeMs: fromTimestamp(target.value.createdBefore),
      };
    case "all":
      return { kind: "all" };
    case undefined:
      return undefined;
  }
}
