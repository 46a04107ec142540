import type { Duration, Timestamp } from "@coatcheck/proto";

import { PARTITION_COUNT } from "../session/partition.js";
import { parseSessionId } from "../session/token.js";
import { RpcError } from "./status.js";

/*
 * What a request rule is, and the kinds there are. The rules themselves are the
 * tables in validate.ts.
 *
 * A rule names its field as the contract writes it and states its bound in
 * words: both go to the caller, the value never does, because it may be a secret.
 * Where the bound is a number the rule carries it too, so that the tests make
 * their values at, below and above it from the tables and no rule can be
 * forgotten (S-43).
 */

/** A number that a value is compared with, for the tests to step over. */
export interface RuleLimit {
  readonly kind: "bytes" | "items" | "value";
  readonly min: number;
  readonly max: number;
}

/** One bound of one field of a message. */
export interface FieldRule<Message> {
  /** As the contract spells it; a dot before a field of a message in it. */
  readonly field: string;
  /** What must hold, in words that fit after "must be". */
  readonly bound: string;
  readonly limit: RuleLimit | undefined;
  readonly holds: (message: Message) => boolean;
}

/** Every rule of a message. The first that does not hold is told. */
export type RuleTable<Message> = readonly FieldRule<Message>[];

/** Whether a text of the message is short enough, and printable where it is an identifier. */
export interface TextBounds {
  /** UTF-8 bytes. */
  readonly bytesMax: number;
  readonly bytesMin?: number;
}

/** How far a caller's clock may be ahead of ours before "in the future" is said. */
export const CLOCK_SKEW_MS = 60_000;

// Control characters have no business in an identifier: they forge log lines (S-45). The
// replacement character stands for bytes that were no UTF-8, and two different such names would
// become one (I-05).
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\ufffd]/u;
const PRINTABLE_ASCII = /^[\u0020-\u007e]*$/;
const AMR_METHOD = /^[A-Za-z0-9_.:-]{1,32}$/;
const MAX_DURATION_SECONDS = 315_576_000_000n;
const SAFE_INTEGERS = 2n ** 53n;

/** Throws INVALID_ARGUMENT for the first rule that does not hold. */
export function enforceRules<Message>(table: RuleTable<Message>, message: Message): void {
  const broken = brokenRule(table, message);
  if (broken !== undefined) {
    throw invalidField(broken.field, broken.bound);
  }
}

/** The first rule that does not hold, if any. */
export function brokenRule<Message>(
  table: RuleTable<Message>,
  message: Message,
): FieldRule<Message> | undefined {
  return table.find((rule) => !rule.holds(message));
}

/** INVALID_ARGUMENT for a field. Neither text may quote the request. */
export function invalidField(field: string, bound: string): RpcError {
  return new RpcError("INVALID_FIELD", `Cannot accept ${field}: it must be ${bound}`, {
    metadata: { field, bound },
  });
}

/** An identifier: bounded and without control characters. */
export function identifier<Message>(
  field: string,
  read: (message: Message) => string,
  bounds: TextBounds,
): FieldRule<Message> {
  const size = textRule(field, read, bounds);
  return {
    ...size,
    bound: `${size.bound}, UTF-8 without control characters`,
    holds: (message) => size.holds(message) && !UNPRINTABLE.test(read(message)),
  };
}

/** A text for people, or one that only a machine compares. Only its size is bounded. */
export function freeText<Message>(
  field: string,
  read: (message: Message) => string,
  bounds: TextBounds,
): FieldRule<Message> {
  return textRule(field, read, bounds);
}

/** An idempotency key: printable ASCII, empty for none. */
export function requestId<Message>(read: (message: Message) => string): FieldRule<Message> {
  const size = textRule("request_id", read, { bytesMax: 64 });
  return {
    ...size,
    bound: "at most 64 printable ASCII characters",
    holds: (message) => read(message).length <= 64 && PRINTABLE_ASCII.test(read(message)),
  };
}

/** A list with at most so many items. */
export function itemCount<Message>(
  field: string,
  read: (message: Message) => readonly unknown[],
  max: number,
): FieldRule<Message> {
  return {
    field,
    bound: `at most ${max} items`,
    limit: { kind: "items", min: 0, max },
    holds: (message) => read(message).length <= max,
  };
}

/** A whole number in a range. */
export function inRange<Message>(
  field: string,
  read: (message: Message) => number,
  range: { readonly min: number; readonly max: number },
): FieldRule<Message> {
  return {
    field,
    bound: `from ${range.min} to ${range.max}`,
    limit: { kind: "value", ...range },
    holds: (message) => read(message) >= range.min && read(message) <= range.max,
  };
}

/** A number of an enum of the contract. An unknown one is refused, never guessed at. */
export function knownEnum<Message>(
  field: string,
  read: (message: Message) => number,
  known: Readonly<Record<string, number>>,
): FieldRule<Message> {
  const numbers = new Set(Object.values(known).filter((number) => number >= 0));
  return plain(field, "a value of its enum", (message) => numbers.has(read(message)));
}

/** A rule that is none of the common kinds. */
export function plain<Message>(
  field: string,
  bound: string,
  holds: (message: Message) => boolean,
): FieldRule<Message> {
  return { field, bound, limit: undefined, holds };
}

/** A duration that is absent, or valid and not negative. */
export function duration<Message>(
  field: string,
  read: (message: Message) => Duration | undefined,
): FieldRule<Message> {
  return plain(field, "a duration of zero to 315,576,000,000 seconds", (message) => {
    const value = read(message);
    return (
      value === undefined ||
      (isNanos(value.nanos) && value.seconds >= 0n && value.seconds <= MAX_DURATION_SECONDS)
    );
  });
}

/** An instant that is absent, or valid, not before 1970 and not in the future. */
export function pastInstant<Message>(
  field: string,
  read: (message: Message) => Timestamp | undefined,
  nowMs: () => number,
): FieldRule<Message> {
  const bound = `an instant from 1970 to now, with ${CLOCK_SKEW_MS / 1000} s for skewed clocks`;
  return plain(field, bound, (message) => {
    const value = read(message);
    if (value === undefined) return true;
    const latest = BigInt(Math.floor((nowMs() + CLOCK_SKEW_MS) / 1000));
    return isNanos(value.nanos) && value.seconds >= 0n && value.seconds <= latest;
  });
}

/** Authentication methods: bounded in number, length and characters. */
export function amr<Message>(
  field: string,
  read: (message: Message) => readonly string[],
): RuleTable<Message> {
  return [
    itemCount(field, read, 16),
    plain(field, "methods of 1 to 32 characters of A-Z a-z 0-9 _ . : -", (message) =>
      read(message).every((method) => AMR_METHOD.test(method)),
    ),
  ];
}

/** A session id of the right shape and partition. */
export function sessionId<Message>(
  field: string,
  read: (message: Message) => string,
): FieldRule<Message> {
  return plain(
    field,
    "a session id: two hex digits below 10 and 22 of 0-9 A-Z a-z",
    (message) => parseSessionId(read(message)) !== undefined,
  );
}

/** A revision whose partition exists and whose numbers are below 2^53. */
export function revision<Message>(
  field: string,
  read: (
    message: Message,
  ) =>
    | { readonly partition: number; readonly generation: bigint; readonly sequence: bigint }
    | undefined,
): FieldRule<Message> {
  return plain(
    field,
    `a revision with a partition below ${PARTITION_COUNT} and numbers below 2^53`,
    (message) => {
      const value = read(message);
      return (
        value === undefined ||
        (value.partition < PARTITION_COUNT &&
          value.generation < SAFE_INTEGERS &&
          value.sequence < SAFE_INTEGERS)
      );
    },
  );
}

/** UTF-8 bytes of a text. */
export function utf8Bytes(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

function textRule<Message>(
  field: string,
  read: (message: Message) => string,
  { bytesMax, bytesMin = 0 }: TextBounds,
): FieldRule<Message> {
  return {
    field,
    bound: bytesMin === 0 ? `at most ${bytesMax} bytes` : `${bytesMin} to ${bytesMax} bytes`,
    limit: { kind: "bytes", min: bytesMin, max: bytesMax },
    holds: (message) => {
      const text = read(message);
      // A UTF-16 unit is at most 3 bytes, so most texts need no count.
      return text.length * 3 <= bytesMax && text.length >= bytesMin
        ? true
        : utf8Bytes(text) <= bytesMax && utf8Bytes(text) >= bytesMin;
    },
  };
}

function isNanos(nanos: number): boolean {
  return nanos >= 0 && nanos <= 999_999_999;
}
