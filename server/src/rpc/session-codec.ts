import { Session, SessionState } from "@coatcheck/proto";

import type { CheckedFacts, SessionRecord } from "../store/session-store.js";
import { floorMillis, millisToTimestamp, toWireEnd } from "./convert.js";

/*
 * A session is stored as two things: facts, which are an encoded `Session`
 * without anything that a script sets, and a handful of fields that scripts read
 * and set. Protobuf merges a message by concatenation, so a full session is the
 * facts followed by the encoded fields, and a validation never decodes either
 * (validate-reply.ts). Everything else, where it costs nothing, goes through the
 * objects here.
 */

const STATES = {
  active: SessionState.ACTIVE,
  revoked: SessionState.REVOKED,
  expired: SessionState.EXPIRED,
} as const;

/** The facts as bytes: the same facts are always the same bytes. */
export function encodeFacts(facts: Session): Buffer {
  const attributes = sortedAttributes(facts.attributes);
  return Buffer.from(Session.encode({ ...facts, attributes }).finish());
}

/** The session that a record describes, the fields of its scripts included. */
export function sessionOf(record: SessionRecord): Session {
  const session = Session.decode(record.facts);
  session.state = STATES[record.state];
  session.createdAt = millisToTimestamp(record.createdAtMs);
  session.lastSeenAt = millisToTimestamp(record.lastSeenAtMs);
  session.idleExpiresAt =
    record.idleTimeoutMs === 0
      ? undefined
      : millisToTimestamp(record.lastSeenAtMs + record.idleTimeoutMs);
  session.absoluteExpiresAt = millisToTimestamp(record.absoluteDeadlineMs);
  session.updatedAt = millisToTimestamp(record.updatedAtMs);
  session.version = BigInt(record.version);
  session.ended = record.end === undefined ? undefined : toWireEnd(record.end);
  return session;
}

/** What a validation may be asked to check of the facts. */
export function checkedOf(facts: Session): CheckedFacts {
  return {
    aal: facts.aal,
    amr: facts.amr,
    authenticatedAtMs:
      facts.authenticatedAt === undefined ? undefined : floorMillis(facts.authenticatedAt),
  };
}

/** Attributes in one order, so that equal maps encode and hash equally. */
export function sortedAttributes(attributes: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...attributes].sort(([a], [b]) => (a < b ? -1 : 1)));
}
