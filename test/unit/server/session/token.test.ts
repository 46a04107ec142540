import { createHash, createHmac, randomBytes, randomInt } from "node:crypto";
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { keyDigest, subjectPartition } from "#server/session/partition.js";
import {
  deriveRecoverySecret,
  deriveSecret,
  encodeSecret,
  formatRecoveryToken,
  formatToken,
  mintSessionId,
  parseRecoveryToken,
  parseSessionId,
  parseToken,
  randomSecret,
  tokenDigest,
} from "#server/session/token.js";

interface Vectors {
  tokens: {
    session_id: string;
    partition: number;
    secret_bytes: string;
    secret: string;
    token: string;
    digest: string;
    recovery_token: string;
  }[];
  malformed: { token: string; why: string }[];
  creations: {
    session_id: string;
    retry_secret: string;
    nonce: string;
    token: string;
    recovery_token: string;
  }[];
  successors: {
    presented: string;
    nonce: string;
    token: string;
    recovery_token: string;
    never: string;
  }[];
  partitions: { tenant_id: string; subject: string; partition: number; key_digest: string }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../../../../proto/vectors/tokens.json", import.meta.url), "utf8"),
) as Vectors;

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

describe("token", () => {
  it.each(vectors.tokens)("matches the published vector $session_id", (vector) => {
    const secret = encodeSecret(Buffer.from(vector.secret_bytes, "hex"));

    expect(secret).toBe(vector.secret);
    expect(formatToken(vector.session_id, secret)).toBe(vector.token);
    expect(formatRecoveryToken(vector.session_id, secret)).toBe(vector.recovery_token);
    expect(tokenDigest(vector.token)).toBe(vector.digest);
    expect(parseToken(vector.token)).toEqual({
      sessionId: vector.session_id,
      partition: vector.partition,
      secret,
    });
  });

  it.each(vectors.malformed)("is malformed: $why", ({ token }) => {
    expect(parseToken(token)).toBeUndefined();
  });

  it("never accepts a recovery token as a token, nor the other way round", () => {
    const [vector] = vectors.tokens;

    expect(parseToken(vector?.recovery_token ?? "")).toBeUndefined();
    expect(parseRecoveryToken(vector?.token ?? "")).toBeUndefined();
    expect(parseRecoveryToken(vector?.recovery_token ?? "")?.sessionId).toBe(vector?.session_id);
  });

  it("refuses every single-character change (S-03)", () => {
    const token = formatToken(mintSessionId(5), randomSecret());

    for (let at = 0; at < token.length; at += 1) {
      for (const character of ALPHABET) {
        if (character !== token[at]) {
          const changed = token.slice(0, at) + character + token.slice(at + 1);
          expect(parseToken(changed), changed).toBeUndefined();
        }
      }
    }
  });

  it("survives 10,000 random byte strings", () => {
    for (let round = 0; round < 10_000; round += 1) {
      expect(parseToken(randomBytes(randomInt(120)).toString("latin1"))).toBeUndefined();
    }
  });

  it("carries 32 bytes of entropy in its secret (S-01)", () => {
    expect(BigInt(62) ** BigInt(43)).toBeGreaterThan(BigInt(2) ** BigInt(256));
    expect(new Set(Array.from({ length: 1000 }, randomSecret)).size).toBe(1000);
    expect(randomSecret()).toMatch(/^[0-9A-Za-z]{43}$/);
  });
});

describe("session id", () => {
  it("names its partition", () => {
    for (let partition = 0; partition < 16; partition += 1) {
      expect(parseSessionId(mintSessionId(partition))).toBe(partition);
    }
  });

  it.each([
    "",
    "10" + "0".repeat(22),
    "0A" + "0".repeat(22),
    "0a" + "0".repeat(21),
    "0a" + "-".repeat(22),
  ])("is refused: %s", (text) => {
    expect(parseSessionId(text)).toBeUndefined();
  });
});

describe("derivation", () => {
  it.each(vectors.creations)("gives a repeat the same token: $session_id", (vector) => {
    const source = {
      key: Buffer.from(vector.retry_secret, "hex"),
      nonce: Buffer.from(vector.nonce, "hex"),
    };

    expect(formatToken(vector.session_id, deriveSecret(source))).toBe(vector.token);
    expect(formatRecoveryToken(vector.session_id, deriveRecoverySecret(source))).toBe(
      vector.recovery_token,
    );
  });

  it.each(vectors.successors)("derives the successor of $presented", (vector) => {
    const presented = parseToken(vector.presented);
    const source = { key: presented?.secret ?? "", nonce: Buffer.from(vector.nonce, "hex") };
    const sessionId = presented?.sessionId ?? "";

    expect(formatToken(sessionId, deriveSecret(source))).toBe(vector.token);
    expect(formatRecoveryToken(sessionId, deriveRecoverySecret(source))).toBe(
      vector.recovery_token,
    );
  });

  it.each(vectors.successors)("yields nothing to who has only the stored digest", (vector) => {
    const sessionId = parseToken(vector.presented)?.sessionId ?? "";
    const storedDigest = createHash("sha256").update(vector.presented).digest();
    const nonce = Buffer.from(vector.nonce, "hex");
    const fromDump = encodeSecret(createHmac("sha256", storedDigest).update(nonce).digest());
    const fromWholeToken = encodeSecret(
      createHmac("sha256", vector.presented).update(nonce).digest(),
    );

    expect(formatToken(sessionId, fromDump)).toBe(vector.never);
    expect(formatToken(sessionId, fromWholeToken)).toBe(vector.never);
    expect(vector.token).not.toBe(vector.never);
  });
});

describe("partition", () => {
  it.each(vectors.partitions)("of ($tenant_id, $subject) is $partition", (vector) => {
    expect(subjectPartition(vector.tenant_id, vector.subject)).toBe(vector.partition);
    expect(keyDigest(vector.tenant_id, vector.subject)).toBe(vector.key_digest);
  });

  it("never confuses (ab, c) with (a, bc) (I-05, S-35)", () => {
    expect(keyDigest("ab", "c")).not.toBe(keyDigest("a", "bc"));
    expect(keyDigest("a".repeat(10_000), "b")).not.toBe(keyDigest("a".repeat(10_000), "c"));
  });
});
