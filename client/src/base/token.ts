import * as crypto from "node:crypto";
import { crc32 } from "node:zlib";

const PREFIX = "cc1_";
const SESSION_ID_START = PREFIX.length;
const SESSION_ID_LENGTH = 24;
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const CHECKED_LENGTH = PREFIX.length + SESSION_ID_LENGTH + SECRET_LENGTH;
const TOKEN_LENGTH = CHECKED_LENGTH + CHECKSUM_LENGTH;

const SESSION_ID_SHAPE = /^0[0-9a-f][0-9A-Za-z]{22}$/;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const IS_BASE62 = Array.from({ length: 128 }, (_, code) =>
  BASE62.includes(String.fromCharCode(code)),
);
const PARTITION_DIGITS = "0123456789abcdef";
/** Base62 is `0-9A-Za-z`; these are its corners in ASCII. */
const [ZERO, NINE, UPPER_A, UPPER_Z, LOWER_A] = [0x30, 0x39, 0x41, 0x5a, 0x61];

/** What the SDK shows instead of a token. */
const REDACTED = "cc1_…[redacted]";

/**
 * A token that prints as `cc1_…[redacted]` wherever it is printed by accident:
 * in a log line, a JSON body, an inspected object. `reveal` is the only way to
 * the secret.
 */
export class Token {
  readonly #secret: string;

  constructor(secret: string) {
    this.#secret = secret;
  }

  /** The bearer secret itself, to be handed to the user and nobody else. */
  reveal(): string {
    return this.#secret;
  }

  /** Never the secret. */
  toString(): string {
    return REDACTED;
  }

  /** Never the secret. */
  toJSON(): string {
    return REDACTED;
  }

  /** Never the secret. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return REDACTED;
  }
}

/** What a caller may pass as a token. */
export type TokenLike = string | Token;

/** The characters of a token, however it was passed. */
export function revealToken(token: TokenLike): string {
  return typeof token === "string" ? token : token.reveal();
}

/**
 * The session id a token names, or undefined where it cannot be one of ours:
 * wrong shape, unknown partition or wrong checksum. Nothing is asked (S-03).
 */
export function sessionIdOf(token: string): string | undefined {
  const part = sessionIdIn(token);
  return part === undefined ? undefined : copyOf(part);
}

/**
 * The same, sharing the token's memory: to look up by and never to keep. It
 * spares the hot path a copy.
 */
export function sessionIdIn(token: string): string | undefined {
  if (!hasTokenShape(token)) return undefined;
  if (crc32(token.slice(0, CHECKED_LENGTH)) !== checksumOf(token)) return undefined;
  return token.slice(SESSION_ID_START, SESSION_ID_START + SESSION_ID_LENGTH);
}

/** Whether a text can be a session id: right length, alphabet and a partition that exists. */
export function isSessionId(text: string): boolean {
  return SESSION_ID_SHAPE.test(text);
}

/**
 * What identifies a token without being it: SHA-256 over its characters,
 * lower-case hex. The same digest is stored by the authority and reported with
 * a use. Two digests may be compared plainly: what leaks is about the digest.
 */
export function tokenDigest(token: string): string {
  return crypto.hash("sha256", token, "hex");
}

// Not by a regular expression: the engine keeps the last text that one matched for ever, and a
// token with it (S-20).
function hasTokenShape(token: string): boolean {
  if (token.length !== TOKEN_LENGTH || !token.startsWith(`${PREFIX}0`)) return false;
  if (!PARTITION_DIGITS.includes(token.charAt(SESSION_ID_START + 1))) return false;
  for (let index = SESSION_ID_START; index < TOKEN_LENGTH; index += 1) {
    if (IS_BASE62[token.charCodeAt(index)] !== true) return false;
  }
  return true;
}

/** The number that the last six characters spell. The shape has been checked. */
function checksumOf(token: string): number {
  let checksum = 0;
  for (let index = CHECKED_LENGTH; index < TOKEN_LENGTH; index += 1) {
    checksum = checksum * 62 + digitOf(token.charCodeAt(index));
  }
  return checksum;
}

function digitOf(code: number): number {
  if (code <= NINE) return code - ZERO;
  return code <= UPPER_Z ? code - UPPER_A + 10 : code - LOWER_A + 36;
}

/**
 * A copy that shares no memory with the original. A slice keeps the whole
 * string alive: a session id cut from a token, kept as a key, would keep the
 * token in the heap (S-20).
 */
function copyOf(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
