import { createHash, timingSafeEqual } from "node:crypto";

import type { Caller, Role } from "./caller.js";
import type { PeerNames } from "./peer-names.js";

/** A caller as it is configured: who it is, and what makes it known. */
export interface CallerRecord {
  readonly name: string;
  readonly roles: readonly Role[];
  /** Undefined: every tenant. */
  readonly tenants: readonly string[] | undefined;
  /** URI names of its client certificate. */
  readonly uris: readonly string[];
  /** DNS names of its client certificate, in lower case. */
  readonly dnsNames: readonly string[];
  /** SHA-256 of its service keys, lower-case hex. */
  readonly serviceKeyHashes: readonly string[];
}

// 32 random bytes are 43 characters of base64 or base62, or 64 of hex. What is shorter was not
// made of 32 random bytes, and a plain SHA-256 of it could be searched.
const SERVICE_KEY = /^[0-9A-Za-z_+/=-]{43,128}$/;

/**
 * Who is known. It never changes: a new configuration makes a new directory, so
 * that no call ever sees half of one.
 *
 * A service key is 32 random bytes, so its plain SHA-256 can no more be reversed
 * than the key can be guessed, and a slow hash on every call would only give an
 * attacker a cheap way to keep the process busy. All hashes are compared, each in
 * constant time: how long it took says neither which matched nor how nearly.
 */
export class CallerDirectory {
  readonly #byUri = new Map<string, Caller>();
  readonly #byDnsName = new Map<string, Caller>();
  readonly #keys: { readonly hash: Buffer; readonly caller: Caller }[] = [];

  constructor(records: readonly CallerRecord[]) {
    for (const record of records) {
      const caller: Caller = {
        name: record.name,
        roles: new Set(record.roles),
        tenants: record.tenants === undefined ? undefined : new Set(record.tenants),
      };
      for (const uri of record.uris) this.#byUri.set(uri, caller);
      for (const name of record.dnsNames) this.#byDnsName.set(name, caller);
      for (const hash of record.serviceKeyHashes) {
        this.#keys.push({ hash: Buffer.from(hash, "hex"), caller });
      }
    }
  }

  /**
   * Whom a verified certificate names. Undefined where it names nobody, and where
   * it names two: which of them calls, nobody can say.
   */
  findByPeer({ uris, dnsNames }: PeerNames): Caller | undefined {
    const named = new Set<Caller>();
    for (const uri of uris) add(named, this.#byUri.get(uri));
    for (const name of dnsNames) add(named, this.#byDnsName.get(name));
    const [caller] = named;
    return named.size === 1 ? caller : undefined;
  }

  /** Whose service key this is. */
  findByServiceKey(key: string): Caller | undefined {
    if (!SERVICE_KEY.test(key)) {
      return undefined;
    }
    const presented = createHash("sha256").update(key, "utf8").digest();
    let found: Caller | undefined;
    for (const { hash, caller } of this.#keys) {
      if (timingSafeEqual(hash, presented)) found = caller;
    }
    return found;
  }
}

function add(callers: Set<Caller>, caller: Caller | undefined): void {
  if (caller !== undefined) callers.add(caller);
}
