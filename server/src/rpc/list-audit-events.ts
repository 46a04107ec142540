import type { AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse } from "@coatcheck/proto";

import { PARTITION_COUNT } from "../session/partition.js";
import type {
  AuditEntry,
  AuditPlace,
  AuditQuery,
  AuditStream,
  AuditTrail,
} from "../store/audit-trail.js";
import { LIST_AUDIT_RULES } from "./admin-rules.js";
import {
  floorMillis,
  millisToTimestamp,
  toWireEntity,
  toWireReason,
  toWireRevision,
} from "./convert.js";
import { enforceRules, invalidField } from "./rules.js";
import type { CallContext } from "./unary.js";

/*
 * One list out of two streams in each of sixteen partitions, newest first.
 *
 * Everything has one order: by instant, and in one instant by stream and place in
 * it. So one place says where a page ended, whatever the number of streams, and a
 * page token is that place. Each round reads a stretch of every stream and merges
 * them down to the point where the first of the stretches ends; below it that
 * stream has not been looked at. What does not match the filter is passed over,
 * for a bounded number of rounds: a page may be short, even empty, and not the last.
 */

const PAGE_SIZE_DEFAULT = 50;

/** Entries read at once of each of 32 streams: a few milliseconds of Redis and of this process. */
const STRETCH_MAX = 100;

/** Stretches read for one page: with a filter, up to 160,000 entries. */
const ROUNDS_MAX = 50;

const STREAMS: readonly AuditStream[] = ["audit", "denied"];

/** The streams in the order in which what happened in one instant is listed. */
const SOURCES = Array.from({ length: PARTITION_COUNT }, (_, partition) =>
  STREAMS.map((stream) => ({ partition, stream })),
).flat();

/** A place in the whole list. */
interface Cursor extends AuditPlace {
  readonly source: number;
}

interface Listed extends Cursor {
  readonly entry: AuditEntry;
}

/** Reads a page of the audit trail. */
export async function listAuditEvents(
  trail: AuditTrail,
  request: ListAuditEventsRequest,
  context: Pick<CallContext, "check">,
): Promise<ListAuditEventsResponse> {
  enforceRules(LIST_AUDIT_RULES, request);
  const pageSize = request.pageSize === 0 ? PAGE_SIZE_DEFAULT : request.pageSize;
  const sinceMs = request.since === undefined ? 0 : floorMillis(request.since);
  const isFiltered = request.tenantId + request.subject + request.sessionId !== "";
  const limit = isFiltered ? STRETCH_MAX : Math.min(STRETCH_MAX, pageSize + 1);

  const events: AuditEvent[] = [];
  let cursor = parsePageToken(request.pageToken);
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    context.check();
    const stretch = await readStretch(trail, cursor, limit);
    for (const listed of stretch.listed) {
      if (listed.atMs < sinceMs) {
        return { events, nextPageToken: "" };
      }
      cursor = listed;
      if (matches(listed.entry, request)) {
        events.push(toWireAuditEvent(listed.entry));
      }
      if (events.length === pageSize) {
        const isLast = stretch.isComplete && listed === stretch.listed.at(-1);
        return { events, nextPageToken: isLast ? "" : formatPageToken(cursor) };
      }
    }
    if (stretch.isComplete) {
      return { events, nextPageToken: "" };
    }
  }
  return { events, nextPageToken: cursor === undefined ? "" : formatPageToken(cursor) };
}

/** An entry as the contract has it. */
export function toWireAuditEvent(entry: AuditEntry): AuditEvent {
  return {
    eventId: entry.eventId,
    at: millisToTimestamp(entry.place.atMs),
    method: entry.method,
    caller: entry.caller,
    tenantId: entry.tenantId,
    subject: entry.subject,
    sessionId: entry.sessionId,
    reason: toWireReason(entry.reason),
    initiatingEntity: toWireEntity(entry.initiatingEntity),
    reasonAdmin: entry.reasonAdmin,
    revision: entry.revision === undefined ? undefined : toWireRevision(entry.revision),
    statusCode: entry.statusCode,
  };
}

interface Stretch {
  /** Newest first, and nothing between two of them is missing. */
  readonly listed: readonly Listed[];
  /** Whether there is nothing after it. */
  readonly isComplete: boolean;
}

async function readStretch(
  trail: AuditTrail,
  cursor: Cursor | undefined,
  limit: number,
): Promise<Stretch> {
  const reads = await Promise.all(
    SOURCES.map(async (source, index) => {
      const query: AuditQuery = { ...source, before: startOf(cursor, index), limit };
      const entries = await trail.read(query);
      return entries.map((entry): Listed => ({ ...entry.place, source: index, entry }));
    }),
  );
  const merged = reads.flat().sort(newestFirst);
  // A stream that gave all it was asked for may have more right below.
  const cut = reads.filter(({ length }) => length === limit).flatMap((read) => read.slice(-1));
  const [highest] = cut.sort(newestFirst);
  return highest === undefined
    ? { listed: merged, isComplete: true }
    : {
        listed: merged.filter((listed) => newestFirst(listed, highest) <= 0),
        isComplete: false,
      };
}

/** Where a stream goes on: in the cursor's instant, those before its own stream are done. */
function startOf(cursor: Cursor | undefined, source: number): AuditPlace | undefined {
  if (cursor === undefined || source === cursor.source) {
    return cursor;
  }
  return source < cursor.source
    ? { atMs: cursor.atMs, order: 0 }
    : { atMs: cursor.atMs + 1, order: 0 };
}

function newestFirst(a: Cursor, b: Cursor): number {
  if (a.atMs !== b.atMs) {
    return b.atMs - a.atMs;
  }
  return a.source === b.source ? b.order - a.order : a.source - b.source;
}

function matches(entry: AuditEntry, request: ListAuditEventsRequest): boolean {
  return (
    (request.tenantId === "" || entry.tenantId === request.tenantId) &&
    (request.subject === "" || entry.subject === request.subject) &&
    (request.sessionId === "" || entry.sessionId === request.sessionId)
  );
}

const PAGE_TOKEN_CHARS_MAX = 64;
const PAGE_TOKEN = /^(\d{1,15})\.(\d{1,15})\.(\d{1,2})$/;

function formatPageToken({ atMs, order, source }: Cursor): string {
  return Buffer.from(`${atMs}.${order}.${source}`).toString("base64url");
}

// A place in a list and nothing else: a forged one only chooses where to read on.
function parsePageToken(text: string): Cursor | undefined {
  if (text === "") {
    return undefined;
  }
  const plain =
    text.length > PAGE_TOKEN_CHARS_MAX ? "" : Buffer.from(text, "base64url").toString("latin1");
  const [, atMs, order, source] = PAGE_TOKEN.exec(plain) ?? [];
  if (atMs === undefined || Number(source) >= SOURCES.length) {
    throw invalidField("page_token", "a next_page_token of this method, or empty");
  }
  return { atMs: Number(atMs), order: Number(order), source: Number(source) };
}
