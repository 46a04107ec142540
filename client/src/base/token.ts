import * as crypto from "node:crypto";
import { crc32 } from "node:zlib";

const PREFIX = "cc1_";
const SESSION_ID_START = PREFIX.length;
const SESSION_ID_LENGTH = 24;
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const CHECKED_LENGTH = PREFIX.length + SESSION_ID_LENGTH + SECRET_LENGTH;
const TOKEN_LENGTH = CHECKED_LENGTH + CHECKSUM_LENGTH;

const TOKEN_SHAPE = /^cc1_0[0-9a-f][0-9A-Za-z]{71}$/;
const SESSION_ID_SHAPE = /^0[0-9a-f][0-9A-Za-z]{22}$/;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

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
  if (token.length !== TOKEN_LENGTH || !TOKEN_SHAPE.test(token)) return undefined;
  const checksum = encodeChecksum(crc32(token.slice(0, CHECKED_LENGTH)));
  if (checksum !== token.slice(CHECKED_LENGTH)) return undefined;
  return copyOf(token.slice(SESSION_ID_START, SESSION_ID_START + SESSION_ID_LENGTH));
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

function encodeChecksum(checksum: number): string {
  let rest = checksum;
  let text = "";
  for (let index = 0; index < CHECKSUM_LENGTH; index += 1) {
    text = BASE62.charAt(rest % 62) + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}

/**
 * A copy that shares no memory with the original. A slice keeps the whole
 * string alive: a session id cut from a token, kept as a key, would keep the
 * token in the heap (S-20).
 */
function copyOf(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
