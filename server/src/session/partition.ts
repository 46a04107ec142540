import { createHash } from "node:crypto";

/** How many partitions there are, for good: a session id carries its own. */
export const PARTITION_COUNT = 16;

/**
 * SHA-256 over length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ
 * whatever the parts contain (I-05: an ambiguous cache key).
 */
export function hashParts(...parts: readonly (string | Buffer)[]): Buffer {
  const hash = createHash("sha256");
  const length = Buffer.allocUnsafe(4);
  for (const part of parts) {
    const bytes = typeof part === "string" ? Buffer.from(part, "utf8") : part;
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  }
  return hash.digest();
}

/** The digest that stands for `parts` in a key: 16 bytes as base64url. */
export function keyDigest(...parts: readonly (string | Buffer)[]): string {
  return hashParts(...parts)
    .subarray(0, 16)
    .toString("base64url");
}

/** The partition of a subject's sessions. */
export function subjectPartition(tenantId: string, subject: string): number {
  return (hashParts(tenantId, subject)[0] ?? 0) & (PARTITION_COUNT - 1);
}

/** The partition that a session id names. The id has been parsed before. */
export function partitionOf(sessionId: string): number {
  return Number.parseInt(sessionId.slice(0, 2), 16);
}
