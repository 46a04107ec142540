import { keyDigest, PARTITION_COUNT } from "../../session/partition.js";

/**
 * The hash tag of each partition, for good. Their cluster slots lie one in each
 * sixteenth of the 16,384, so that any even split of a cluster spreads them evenly.
 */
export const HASH_TAGS: readonly string[] = [
  "18",
  "5x",
  "dj",
  "3r",
  "d2",
  "pv",
  "uh",
  "iy",
  "ly",
  "h9",
  "uv",
  "q6",
  "9s",
  "5f",
  "dt",
  "ha",
];

/** The names of everything one deployment keeps, under its namespace. */
export interface KeySpace {
  /** The head of a partition. Every other key of it begins with the same tag. */
  head(partition: number): string;
  session(partition: number, sessionId: string): string;
  /** A subject's session ids. `subject` is its digest. */
  index(partition: number, subject: string): string;
  /** The Pub/Sub channel that tells which partition has news. */
  readonly nudgeChannel: string;
}

/**
 * Makes the key names of a namespace. One that contained a brace would move the hash tag,
 * and the scripts of one partition would no longer touch one slot.
 */
export function createKeySpace(namespace: string): KeySpace {
  if (/[{}\s]/.test(namespace)) {
    throw new Error(
      `Cannot use the key namespace ${JSON.stringify(namespace)}: it must have no braces and no spaces`,
    );
  }
  const prefixes = HASH_TAGS.map((tag) => `${namespace}{${tag}}:`);
  function prefix(partition: number): string {
    const found = prefixes[partition];
    if (found === undefined) {
      throw new RangeError(
        `Cannot use partition ${partition}: it must be below ${PARTITION_COUNT}`,
      );
    }
    return found;
  }
  return {
    head: (partition) => `${prefix(partition)}head`,
    session: (partition, sessionId) => `${prefix(partition)}s:${sessionId}`,
    index: (partition, subject) => `${prefix(partition)}u:${subject}`,
    nudgeChannel: `${namespace}nudge`,
  };
}

/** Tenants whose digest is remembered: a deployment has few, and each costs a hash a call. */
const TENANTS_MAX = 1_024;

/** Remembers the digests of the tenants used last. */
export function createTenantDigests(): (tenantId: string) => string {
  const digests = new Map<string, string>();
  return (tenantId) => {
    const known = digests.get(tenantId);
    if (known !== undefined) {
      return known;
    }
    const oldest = digests.size < TENANTS_MAX ? undefined : digests.keys().next().value;
    if (oldest !== undefined) {
      digests.delete(oldest);
    }
    const digest = keyDigest(tenantId);
    digests.set(tenantId, digest);
    return digest;
  };
}
