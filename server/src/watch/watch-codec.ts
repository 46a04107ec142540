import type { RevocationEvent } from "../session/event.js";
import type { Revision } from "../session/revision.js";

/** A stretch of one partition's log without a hole. */
export interface EventRange {
  /** The stretch starts right after this revision. */
  readonly fromExclusive: Revision;
  /** The last revision of the stretch; equal to `fromExclusive` where nothing happened. */
  readonly through: Revision;
}

/** Why a position could not be resumed. */
export type ResetReason = "too-old" | "history-forked";

/** Partitions that go on at another place, all for the same reason. */
export interface PositionReset {
  readonly at: readonly Revision[];
  readonly reason: ResetReason;
}

/** What the first message of a stream says. */
export interface Opening {
  readonly position: readonly Revision[];
  readonly deploymentId: string;
  readonly maxStalenessMs: number;
}

/**
 * Turns what the watch says into the bytes of one message. The wire format is
 * not known in this folder; `rpc/event-codec.ts` implements it.
 */
export interface WatchCodec {
  /**
   * One event as the field of a message, with its tag and length, so that a
   * frame is put together by copying bytes and never by encoding again.
   */
  encodeEvent(event: RevocationEvent): Uint8Array;
  /** One message with a range and events that `encodeEvent` made. */
  batch(range: EventRange, events: readonly Uint8Array[]): Uint8Array;
  progress(ranges: readonly EventRange[]): Uint8Array;
  opened(opening: Opening): Uint8Array;
  reset(reset: PositionReset): Uint8Array;
  goaway(reconnectWithinMs: number): Uint8Array;
}
