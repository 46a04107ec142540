import { compareRevisions, type Revision } from "../session/revision.js";
import type { RingEntry } from "./event-ring.js";
import type { TenantFilter } from "./tenant-filter.js";
import type { WatchCodec } from "./watch-codec.js";
import { FRAME_BYTES_MAX, FRAME_EVENTS_MAX } from "./watch-options.js";

/** A stretch of the log as one message. */
export interface EventFrame {
  /** Everything up to here is in the message or was filtered out. */
  readonly through: Revision;
  /** Undefined where the filter let no event through: nothing needs sending. */
  readonly bytes: Uint8Array | undefined;
}

/** What one watcher asks a tail for. */
export interface FrameRequest {
  /** What the receiver has been told. */
  readonly announced: Revision;
  /** What has been looked at for it; at or after `announced`. */
  readonly scanned: Revision;
  readonly filter: TenantFilter;
}

/** What a frame is made of. */
export interface FrameSource {
  /** What the receiver has been told so far; the range of the message starts here. */
  readonly announced: Revision;
  /** The events to take from, in the order of the log. */
  readonly entries: readonly RingEntry[];
  /** How far `entries` reach. */
  readonly through: Revision;
  readonly filter: TenantFilter;
}

/** Puts one message together, within the limits of events and bytes. */
export function assembleFrame(source: FrameSource, codec: WatchCodec): EventFrame {
  const chosen: Uint8Array[] = [];
  let bytes = 0;
  let covered = source.announced;
  for (const entry of source.entries) {
    if (source.filter.admits(entry)) {
      const full =
        chosen.length === FRAME_EVENTS_MAX ||
        (chosen.length > 0 && bytes + entry.bytes.length > FRAME_BYTES_MAX);
      if (full) {
        return frameOf(source.announced, covered, { chosen, codec });
      }
      chosen.push(entry.bytes);
      bytes += entry.bytes.length;
    }
    covered = entry.revision;
  }
  return frameOf(source.announced, source.through, { chosen, codec });
}

function frameOf(
  fromExclusive: Revision,
  through: Revision,
  { chosen, codec }: { readonly chosen: readonly Uint8Array[]; readonly codec: WatchCodec },
): EventFrame {
  return {
    through,
    bytes: chosen.length === 0 ? undefined : codec.batch({ fromExclusive, through }, chosen),
  };
}

/** The entries of a page of the log, with what they cover. */
export interface LogPage {
  readonly from: Revision;
  readonly through: Revision;
  readonly head: Revision;
  readonly verdict: "continue" | "too-old" | "history-forked";
  readonly entries: readonly RingEntry[];
}

/**
 * The entries of `page` after `cursor`, or undefined where the page does not
 * speak of that cursor. Lying between two revisions of the page is not enough:
 * a cursor of a lost history may, and must not be taken for a place on this one.
 */
export function entriesAfter(page: LogPage, cursor: Revision): readonly RingEntry[] | undefined {
  if (compareRevisions(page.from, cursor) === 0) {
    return page.entries;
  }
  const isWithin =
    page.verdict === "continue" &&
    compareRevisions(page.from, cursor) < 0 &&
    compareRevisions(cursor, page.through) < 0;
  if (!isWithin) {
    return undefined;
  }
  const index = page.entries.findIndex((entry) => compareRevisions(entry.revision, cursor) === 0);
  return index < 0 ? undefined : page.entries.slice(index + 1);
}
