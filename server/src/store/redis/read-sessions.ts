import { keyDigest, partitionOf, subjectPartition } from "../../session/partition.js";
import type { ListPage, ListQuery, SessionRecord } from "../session-store.js";
import { decodeRecord, ReplyList, toBytes } from "./codec.js";
import type { RedisLink } from "./redis-link.js";

/** The record of a session, live or ended. */
export async function readSession(
  link: RedisLink,
  sessionId: string,
): Promise<SessionRecord | undefined> {
  const partition = partitionOf(sessionId);
  const reply = await link.run("read_session", {
    partition,
    attempt: "read a session",
    keys: [link.keys.head(partition), link.keys.session(partition, sessionId)],
    args: [],
  });
  return reply === null ? undefined : decodeRecord({ partition, sessionId }, toBytes(reply));
}

/** One page of a subject's live sessions. It looks at no more ids than it may return. */
export async function listSessions(link: RedisLink, query: ListQuery): Promise<ListPage> {
  const { tenantId, subject, limit, after } = query;
  const partition = subjectPartition(tenantId, subject);
  const reply = await link.run("list_sessions", {
    partition,
    attempt: "list sessions",
    keys: [link.keys.head(partition), link.keys.index(partition, keyDigest(tenantId, subject))],
    args: [limit, after?.sessionId ?? "", after?.createdAtMs ?? 0],
  });
  const list = new ReplyList(reply);
  const records: SessionRecord[] = [];
  for (let position = 2; position + 1 < list.length; position += 2) {
    const sessionId = list.text(position);
    records.push(decodeRecord({ partition, sessionId }, list.bytes(position + 1)));
  }
  const last = list.text(0);
  return {
    records,
    next: last === "" ? undefined : { sessionId: last, createdAtMs: list.number(1) },
  };
}
