import { SessionState, ValidateSessionResponse } from "@coatcheck/proto";

import type { Revision } from "../session/revision.js";
import type { SessionRecord, ValidateReply } from "../store/session-store.js";
import {
  millisToDuration,
  splitMillis,
  toWireEnd,
  toWireOutcome,
  toWireRevision,
} from "./convert.js";

/*
 * The answer to a validation, as bytes.
 *
 * More than half of a validation's cost would be decoding a session from the
 * store and encoding it again for the wire, unchanged. So the store keeps the
 * facts of a session as the bytes they will be sent as, and a reply is put
 * together by copying: the head of field 2, the facts, and behind them, still
 * inside field 2, the few fields that a touch changes. Protobuf merges fields of
 * a message in the order they come, so a reader sees one session. Measured:
 * throughput times 1.3 to 2.0.
 *
 * Only VALID answers are spliced. The others carry no session, are rare, and go
 * through the generated encoder; the tests compare the two byte by byte after
 * decoding.
 */

/** What the deployment says with every answer. */
export interface ReplyTerms {
  /** The staleness bound L, in ms. */
  readonly maxStalenessMs: number;
  /**
   * Whether the answer may be kept. Not where the question brought an audience,
   * a binding or requirements: that verdict is an answer to this question alone
   * (S-18).
   */
  readonly cacheable: boolean;
}

const OUTCOME_VALID = toWireOutcome("valid");

// Tags of ValidateSessionResponse: field number shifted by three, and the wire type.
const OUTCOME = 0x08;
const SESSION = 0x12;
const AS_OF = 0x1a;
const ISSUED = 0x22;
const VALID_FOR = 0x2a;
const SUPERSEDED = 0x30;
const AUTHENTICATION_AGE = 0x3a;
const CACHEABLE = 0x40;
const MAX_STALENESS = 0x4a;
const BINDING_WARNINGS = 0x5a;

// Tags of Session.
const STATE = 0x20;
const CREATED_AT = 0x2a;
const LAST_SEEN_AT = 0x3a;
const IDLE_EXPIRES_AT = 0x42;
const ABSOLUTE_EXPIRES_AT = 0x4a;
const UPDATED_AT = 0x52;
const VERSION = 0x58;

// Tags inside Timestamp, Duration and Revision, which are alike.
const FIRST = 0x08;
const SECOND = 0x10;
const THIRD = 0x18;

/**
 * Enough for everything but the facts: 5 timestamps of at most 19 bytes, state
 * and version, 2 revisions of at most 24, 3 durations, 3 scalars and 3 warnings
 * of at most 12 bytes are below 350.
 */
const SCRATCH_BYTES = 512;

/** The encoded `ValidateSessionResponse` for what the store answered. */
export function encodeValidateReply(reply: ValidateReply, terms: ReplyTerms): Buffer {
  return reply.outcome === "valid" && reply.record !== undefined
    ? spliceValid(reply, reply.record, terms)
    : encodeRefusal(reply, terms);
}

/** The encoded answer to a token that is none. The store was not asked. */
export function encodeMalformedReply(maxStalenessMs: number): Buffer {
  const response = ValidateSessionResponse.create({
    outcome: toWireOutcome("malformed"),
    maxStaleness: millisToDuration(maxStalenessMs),
  });
  return Buffer.from(ValidateSessionResponse.encode(response).finish());
}

/** How long the answer stays true if nothing happens, in ms (DESIGN §3). */
export function validForMs(record: SessionRecord, graceLeftMs: number | undefined): number {
  const idleLeftMs =
    record.idleTimeoutMs === 0
      ? Infinity
      : record.lastSeenAtMs + record.idleTimeoutMs - record.nowMs;
  const absoluteLeftMs = record.absoluteDeadlineMs - record.nowMs;
  return Math.max(0, Math.min(idleLeftMs, absoluteLeftMs, graceLeftMs ?? Infinity));
}

function encodeRefusal(reply: ValidateReply, terms: ReplyTerms): Buffer {
  const response = ValidateSessionResponse.create({
    outcome: toWireOutcome(reply.outcome),
    asOf: toWireRevision(reply.asOf),
    ended: reply.end === undefined ? undefined : toWireEnd(reply.end),
    maxStaleness: millisToDuration(terms.maxStalenessMs),
  });
  return Buffer.from(ValidateSessionResponse.encode(response).finish());
}

function spliceValid(reply: ValidateReply, record: SessionRecord, terms: ReplyTerms): Buffer {
  const writer = scratch;
  writer.reset();
  writeVolatile(record);
  const volatileBytes = writer.at;
  writeTail(reply, record, terms);
  const tailBytes = writer.at - volatileBytes;

  const sessionBytes = record.facts.length + volatileBytes;
  const headBytes = 3 + varintBytes(sessionBytes);
  const out = Buffer.allocUnsafe(headBytes + sessionBytes + tailBytes);
  out[0] = OUTCOME;
  out[1] = OUTCOME_VALID;
  out[2] = SESSION;
  putVarint(out, 3, sessionBytes);
  record.facts.copy(out, headBytes);
  writer.bytes.copy(out, headBytes + record.facts.length, 0, volatileBytes + tailBytes);
  return out;
}

function writeVolatile(record: SessionRecord): void {
  scratch.varint(STATE, SessionState.ACTIVE);
  scratch.millis(CREATED_AT, record.createdAtMs);
  scratch.millis(LAST_SEEN_AT, record.lastSeenAtMs);
  if (record.idleTimeoutMs !== 0) {
    scratch.millis(IDLE_EXPIRES_AT, record.lastSeenAtMs + record.idleTimeoutMs);
  }
  scratch.millis(ABSOLUTE_EXPIRES_AT, record.absoluteDeadlineMs);
  scratch.millis(UPDATED_AT, record.updatedAtMs);
  scratch.varint(VERSION, record.version);
}

function writeTail(reply: ValidateReply, record: SessionRecord, terms: ReplyTerms): void {
  scratch.revision(AS_OF, reply.asOf);
  scratch.revision(ISSUED, record.issued);
  scratch.millis(VALID_FOR, validForMs(record, reply.graceLeftMs));
  if (reply.graceLeftMs !== undefined) {
    scratch.varint(SUPERSEDED, 1);
  }
  if (reply.authenticatedAtMs !== undefined) {
    // The issuer's clock may be ahead by the skew that create allows.
    scratch.millis(AUTHENTICATION_AGE, Math.max(0, record.nowMs - reply.authenticatedAtMs));
  }
  if (terms.cacheable) {
    scratch.varint(CACHEABLE, 1);
  }
  scratch.millis(MAX_STALENESS, terms.maxStalenessMs);
  for (const field of reply.bindingWarnings) {
    scratch.text(BINDING_WARNINGS, field);
  }
}

/** Writes small fields into one reused buffer. Nothing in it outlives a reply. */
class ScratchWriter {
  readonly bytes = Buffer.alloc(SCRATCH_BYTES);
  at = 0;

  reset(): void {
    this.at = 0;
  }

  varint(tag: number, value: number): void {
    this.bytes[this.at] = tag;
    this.at = putVarint(this.bytes, this.at + 1, value);
  }

  /** A Timestamp or a Duration: both are seconds and nanoseconds. */
  millis(tag: number, millis: number): void {
    const lengthAt = this.#open(tag);
    const { seconds, nanos } = splitMillis(millis);
    if (seconds !== 0) this.varint(FIRST, seconds);
    if (nanos !== 0) this.varint(SECOND, nanos);
    this.#close(lengthAt);
  }

  revision(tag: number, revision: Revision): void {
    const lengthAt = this.#open(tag);
    if (revision.partition !== 0) this.varint(FIRST, revision.partition);
    if (revision.generation !== 0) this.varint(SECOND, revision.generation);
    if (revision.sequence !== 0) this.varint(THIRD, revision.sequence);
    this.#close(lengthAt);
  }

  /** ASCII below 128 bytes. */
  text(tag: number, value: string): void {
    const lengthAt = this.#open(tag);
    this.at += this.bytes.write(value, this.at, "latin1");
    this.#close(lengthAt);
  }

  // Every message written here is below 128 bytes, so its length is one byte.
  #open(tag: number): number {
    this.bytes[this.at] = tag;
    this.at += 2;
    return this.at - 1;
  }

  #close(lengthAt: number): void {
    this.bytes[lengthAt] = this.at - lengthAt - 1;
  }
}

const scratch = new ScratchWriter();

function putVarint(bytes: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  // Division, not shifts: values reach 2^53.
  while (rest > 127) {
    bytes[at] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
    at += 1;
  }
  bytes[at] = rest;
  return at + 1;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}
