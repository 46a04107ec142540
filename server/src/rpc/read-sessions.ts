import type {
  GetSessionRequest,
  GetSessionResponse,
  ListSessionsRequest,
  ListSessionsResponse,
} from "@coatcheck/proto";

import { type Caller, mayTouch } from "../callers/caller.js";
import { parseSessionId } from "../session/token.js";
import type { ListCursor, ListPage } from "../store/session-store.js";
import { enforceRules, invalidField } from "./rules.js";
import { sessionOf } from "./session-codec.js";
import type { SessionEnvironment } from "./session-environment.js";
import { RpcError } from "./status.js";
import { GET_RULES, LIST_RULES } from "./validate.js";

// Enough for every session that a default policy allows, many times over.
const PAGE_SIZE_DEFAULT = 50;
// Clients of gRPC take 4 MB by default. What a record adds to its facts is below 300 bytes.
const PAGE_BYTES_MAX = 3_500_000;
const RECORD_BYTES = 300;
const PAGE_TOKEN_CHARS_MAX = 64;
const PAGE_TOKEN = /^(\d{1,16})\.([0-9A-Za-z]{24})$/;

/** Reads one session, live or ended. */
export async function getSession(
  environment: SessionEnvironment,
  request: GetSessionRequest,
  caller: Caller,
): Promise<GetSessionResponse> {
  enforceRules(GET_RULES, request);
  const record = await environment.store.read(request.sessionId);
  const session = record && sessionOf(record);
  if (session === undefined || !mayTouch(caller, session.tenantId)) {
    throw sessionNotFound(request.sessionId);
  }
  return { session };
}

/** Reads a page of a subject's live sessions. */
export async function listSessions(
  environment: SessionEnvironment,
  request: ListSessionsRequest,
): Promise<ListSessionsResponse> {
  enforceRules(LIST_RULES, request);
  const page = cutPage(
    await environment.store.list({
      tenantId: request.tenantId,
      subject: request.subject,
      limit: request.pageSize === 0 ? PAGE_SIZE_DEFAULT : request.pageSize,
      after: parsePageToken(request.pageToken),
    }),
  );
  return {
    sessions: page.records.map(sessionOf),
    nextPageToken: page.next === undefined ? "" : formatPageToken(page.next),
  };
}

/** As many sessions of a page as fit into what a client takes; the next page has the others. */
function cutPage(page: ListPage): ListPage {
  let bytes = 0;
  const first = page.records.findIndex(({ facts }) => {
    bytes += facts.length + RECORD_BYTES;
    return bytes > PAGE_BYTES_MAX;
  });
  // A session alone is far smaller than a page.
  return first <= 0
    ? page
    : { records: page.records.slice(0, first), next: page.records[first - 1] };
}

/** The refusal of a session id that names nothing. */
export function sessionNotFound(sessionId: string): RpcError {
  return new RpcError("SESSION_NOT_FOUND", "There is no such session, or its record is gone", {
    metadata: { session_id: sessionId },
  });
}

function formatPageToken(cursor: ListCursor): string {
  return Buffer.from(`${cursor.createdAtMs}.${cursor.sessionId}`).toString("base64url");
}

// A place in an index and nothing else: a forged one only chooses where to read on.
function parsePageToken(text: string): ListCursor | undefined {
  if (text === "") {
    return undefined;
  }
  const plain =
    text.length > PAGE_TOKEN_CHARS_MAX ? "" : Buffer.from(text, "base64url").toString("latin1");
  const [, createdAtMs, sessionId] = PAGE_TOKEN.exec(plain) ?? [];
  if (
    createdAtMs === undefined ||
    sessionId === undefined ||
    parseSessionId(sessionId) === undefined
  ) {
    throw invalidField("page_token", "a next_page_token of this method, or empty");
  }
  return { createdAtMs: Number(createdAtMs), sessionId };
}
