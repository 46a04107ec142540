import {
  type Revision as WireRevision,
  Range as WireRange,
  ResetReason as WireResetReason,
  RevocationEvent as WireEvent,
  RevocationEventKind as WireEventKind,
  RotationTrigger as WireTrigger,
  SyncRevocationsResponse,
  WatchRevocationsResponse,
} from "@coatcheck/proto";
import { BinaryWriter } from "@bufbuild/protobuf/wire";

import type { EventTarget, RevocationEvent } from "../session/event.js";
import type { SyncAnswer } from "../watch/sync.js";
import type { EventRange, ResetReason, WatchCodec } from "../watch/watch-codec.js";
import {
  millisToDuration,
  millisToTimestamp,
  toWireEntity,
  toWireReason,
  toWireRevision,
  toWireTrigger,
} from "./convert.js";

/*
 * An event is encoded when it arrives, once, and copied into every message that
 * carries it. That works because `events` has the same field number in
 * `RevocationBatch` and in `SyncRevocationsResponse`: the encoded event begins
 * with the tag and the length it has in both, and a message is the
 * concatenation of its fields. The test of this file decodes what it makes with
 * the generated code, so a change of the numbers cannot go unseen.
 */

const EVENTS_FIELD = 2;
const BATCH_FIELD = 2;
const RANGES_FIELD = 1;
const LENGTH_DELIMITED = 2;

const RESET_REASONS: Readonly<Record<ResetReason, WireResetReason>> = {
  "too-old": WireResetReason.TOO_OLD,
  "history-forked": WireResetReason.HISTORY_FORKED,
};

/** Encodes what the watch says as the contract has it. */
export const eventCodec: WatchCodec = {
  encodeEvent: (event) =>
    WireEvent.encode(toWireEvent(event), new BinaryWriter().uint32(tag(EVENTS_FIELD)).fork())
      .join()
      .finish(),
  batch: (range, events) => {
    const rangeField = encodeRange(range);
    let length = rangeField.length;
    for (const event of events) {
      length += event.length;
    }
    const head = new BinaryWriter().uint32(tag(BATCH_FIELD)).uint32(length).finish();
    return Buffer.concat([head, rangeField, ...events], head.length + length);
  },
  progress: (ranges) =>
    encodeResponse({ $case: "progress", value: { ranges: ranges.map(toWireRange) } }),
  opened: ({ position, deploymentId, maxStalenessMs }) =>
    encodeResponse({
      $case: "opened",
      value: {
        position: position.map(toWireRevision),
        deploymentId,
        maxStaleness: millisToDuration(maxStalenessMs),
      },
    }),
  reset: ({ at, reason }) =>
    encodeResponse({
      $case: "reset",
      value: { at: at.map(toWireRevision), reason: RESET_REASONS[reason] },
    }),
  goaway: (reconnectWithinMs) =>
    encodeResponse({
      $case: "goaway",
      value: { reconnectWithin: millisToDuration(reconnectWithinMs) },
    }),
};

/** The codec, with the bound of the moment in each Opened: an incident may have lowered it. */
export function codecGranting(maxStalenessMs: () => number): WatchCodec {
  return {
    ...eventCodec,
    opened: (opening) => eventCodec.opened({ ...opening, maxStalenessMs: maxStalenessMs() }),
  };
}

/** The answer to a Sync, with its events copied and not encoded again. */
export function encodeSyncAnswer(
  answer: SyncAnswer,
  grant: { readonly deploymentId: string; readonly maxStalenessMs: number },
): Buffer {
  const rest = SyncRevocationsResponse.encode({
    ranges: answer.ranges.map(toWireRange),
    events: [],
    heads: answer.heads.map(toWireRevision),
    resets: [...answer.resets].map(([reason, at]) => ({
      at: at.map(toWireRevision),
      reason: RESET_REASONS[reason],
    })),
    maxStaleness: millisToDuration(grant.maxStalenessMs),
    deploymentId: grant.deploymentId,
  }).finish();
  return Buffer.concat([rest, ...answer.events]);
}

/** An event as the contract has it. */
export function toWireEvent(event: RevocationEvent): WireEvent {
  return {
    revision: toWireRevision(event.revision),
    eventId: event.eventId,
    kind: event.kind === "revoked" ? WireEventKind.REVOKED : WireEventKind.CHANGED,
    trigger: event.trigger === undefined ? WireTrigger.UNSPECIFIED : toWireTrigger(event.trigger),
    target: toWireTarget(event.target),
    cutoff: event.cutoff === undefined ? undefined : toWireRevision(event.cutoff),
    tenantId: event.tenantId,
    reason: toWireReason(event.reason),
    initiatingEntity: toWireEntity(event.initiatingEntity),
    revokedAt: millisToTimestamp(event.atMs),
  };
}

function toWireTarget(target: EventTarget): WireEvent["target"] {
  switch (target.kind) {
    case "session":
      return { $case: "session", value: { sessionId: target.sessionId } };
    case "subject":
      return {
        $case: "subject",
        value: { subject: target.subject, except: [...target.except] },
      };
    case "tenant":
      return {
        $case: "tenant",
        value: {
          clientId: target.clientId,
          createdBefore:
            target.createdBeforeMs === undefined
              ? undefined
              : millisToTimestamp(target.createdBeforeMs),
        },
      };
    case "all":
      return { $case: "all", value: {} };
  }
}

function toWireRange(range: EventRange): WireRange {
  const fromExclusive: WireRevision = toWireRevision(range.fromExclusive);
  return { fromExclusive, through: toWireRevision(range.through) };
}

function encodeRange(range: EventRange): Uint8Array {
  const writer = new BinaryWriter().uint32(tag(RANGES_FIELD)).fork();
  return WireRange.encode(toWireRange(range), writer).join().finish();
}

function encodeResponse(body: WatchRevocationsResponse["body"]): Uint8Array {
  return WatchRevocationsResponse.encode({ body }).finish();
}

function tag(field: number): number {
  return (field << 3) | LENGTH_DELIMITED;
}
