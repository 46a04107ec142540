import { createHmac, hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

import { randomBase62 } from "../base/random.js";
import { PARTITION_COUNT } from "./partition.js";

/*
 * A token is `cc1_` + session id (24) + secret (43) + checksum (6): 77 ASCII
 * characters, fixed width.
 *
 * The session id is public and says where the session lives, so any replica
 * routes a token without a lookup. The secret is 32 bytes in base62 and is never
 * decoded again: comparing, hashing and deriving all work on its characters. The
 * checksum (CRC-32/ISO-HDLC of everything before it) lets garbage be refused
 * before any I/O and lets secret scanners find leaked tokens (S-03).
 *
 * Only SHA-256 of the whole token is ever stored. A successor must therefore
 * never be keyed by the whole token: HMAC replaces a key above 64 bytes by its
 * SHA-256, which is exactly the stored digest, and a dump of the store would
 * yield live tokens. It is keyed by the 43 secret characters instead, which the
 * store has never seen.
 */

const TOKEN_PREFIX = "cc1_";
const RECOVERY_PREFIX = "ccr1_";
const SESSION_ID_CHARS = 24;
const SECRET_CHARS = 43;
const CHECKSUM_CHARS = 6;
const BODY = /^[0-9a-f]{2}[0-9A-Za-z]{71}$/;
const SESSION_ID = /^[0-9a-f]{2}[0-9A-Za-z]{22}$/;
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** What a well-formed token says. Whether it is a token of ours only its digest tells. */
export interface ParsedToken {
  readonly sessionId: string;
  readonly partition: number;
  /** 43 characters. */
  readonly secret: string;
}

/** What a token is derived from, so that a repeat gets the same one. */
export interface SecretSource {
  readonly key: string | Buffer;
  readonly nonce: Buffer;
}

/** Reads a session token; undefined where shape, partition or checksum is wrong. */
export function parseToken(text: string): ParsedToken | undefined {
  return parse(text, TOKEN_PREFIX);
}

/** Reads a recovery token. A session token is not one, nor the other way round. */
export function parseRecoveryToken(text: string): ParsedToken | undefined {
  return parse(text, RECOVERY_PREFIX);
}

/** The session token of a session id and a secret of 43 characters. */
export function formatToken(sessionId: string, secret: string): string {
  return format(TOKEN_PREFIX, sessionId, secret);
}

/** The recovery token of a session id and a secret of 43 characters. */
export function formatRecoveryToken(sessionId: string, secret: string): string {
  return format(RECOVERY_PREFIX, sessionId, secret);
}

/** SHA-256 over the token's characters, lower-case hex: the only form that is stored. */
export function tokenDigest(token: string): string {
  return hash("sha256", token, "hex");
}

/** A new session id in a partition. */
export function mintSessionId(partition: number): string {
  return partition.toString(16).padStart(2, "0") + randomBase62(SESSION_ID_CHARS - 2);
}

/** The partition a session id names; undefined where the text is not a session id. */
export function parseSessionId(text: string): number | undefined {
  return SESSION_ID.test(text) ? parsePartition(text) : undefined;
}

/** A secret from 32 random bytes. */
export function randomSecret(): string {
  return encodeSecret(randomBytes(32));
}

/** The secret of a session token: HMAC-SHA256(key, nonce). */
export function deriveSecret(source: SecretSource): string {
  return encodeSecret(createHmac("sha256", source.key).update(source.nonce).digest());
}

/** The secret of the recovery token that goes with it: HMAC-SHA256(key, nonce ‖ "r"). */
export function deriveRecoverySecret(source: SecretSource): string {
  const mac = createHmac("sha256", source.key).update(source.nonce).update("r");
  return encodeSecret(mac.digest());
}

/** 32 bytes as a big-endian number in base62, padded to 43 characters. */
export function encodeSecret(bytes: Buffer): string {
  let text = "";
  for (let rest = BigInt(`0x${bytes.toString("hex")}`); rest > 0n; rest /= 62n) {
    text = ALPHABET.charAt(Number(rest % 62n)) + text;
  }
  return text.padStart(SECRET_CHARS, "0");
}

function parse(text: string, prefix: string): ParsedToken | undefined {
  const checksumAt = prefix.length + SESSION_ID_CHARS + SECRET_CHARS;
  if (text.length !== checksumAt + CHECKSUM_CHARS || !text.startsWith(prefix)) {
    return undefined;
  }
  if (!BODY.test(text.slice(prefix.length))) {
    return undefined;
  }
  const sessionId = text.slice(prefix.length, prefix.length + SESSION_ID_CHARS);
  const partition = parsePartition(sessionId);
  if (partition === undefined || checksum(text.slice(0, checksumAt)) !== text.slice(checksumAt)) {
    return undefined;
  }
  return { sessionId, partition, secret: text.slice(checksumAt - SECRET_CHARS, checksumAt) };
}

function parsePartition(sessionId: string): number | undefined {
  const partition = Number.parseInt(sessionId.slice(0, 2), 16);
  return partition < PARTITION_COUNT ? partition : undefined;
}

function format(prefix: string, sessionId: string, secret: string): string {
  const body = prefix + sessionId + secret;
  return body + checksum(body);
}

function checksum(body: string): string {
  // Plain numbers: this runs for every token that is looked at, and 32 bits fit.
  let text = "";
  for (let rest = crc32(body); rest > 0; rest = Math.floor(rest / 62)) {
    text = ALPHABET.charAt(rest % 62) + text;
  }
  return text.padStart(CHECKSUM_CHARS, "0");
}
