import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { isSessionId, revealToken, sessionIdOf, Token, tokenDigest } from "#client/base/token.js";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

interface Vectors {
  readonly tokens: readonly { session_id: string; token: string; digest: string }[];
  readonly malformed: readonly { token: string; why: string }[];
}

const PUBLISHED = new URL("../../../../proto/vectors/tokens.json", import.meta.url);
const vectors = JSON.parse(readFileSync(PUBLISHED, "utf8")) as Vectors;

describe("a token", () => {
  it.each(vectors.tokens)("names the session $session_id of the published vectors", (vector) => {
    expect(sessionIdOf(vector.token)).toBe(vector.session_id);
    expect(tokenDigest(vector.token)).toBe(vector.digest);
    expect(isSessionId(vector.session_id)).toBe(true);
  });

  it.each(vectors.malformed)("is malformed where it is: $why", ({ token }) => {
    expect(sessionIdOf(token)).toBeUndefined();
  });

  it("is malformed with any one character changed (S-03)", () => {
    const [{ token } = { token: "" }] = vectors.tokens;
    const changed = Array.from(token, (character, index) => {
      const other = character === "A" ? "B" : "A";
      return token.slice(0, index) + other + token.slice(index + 1);
    });

    expect(changed.filter((text) => sessionIdOf(text) !== undefined)).toEqual([]);
  });

  it.each([
    ["another prefix", "dc1_00"],
    ["a partition that does not exist", "cc1_10"],
    ["a partition in upper case", "cc1_0A"],
    ["a character of another alphabet", "cc1_00-"],
    ["a character beyond ASCII", "cc1_00\u00e9"],
  ])("is malformed with %s, whatever its checksum says", (_name, start) => {
    const checked = start.padEnd(71, "0");
    let rest = crc32(checked);
    let checksum = "";
    for (let digit = 0; digit < 6; digit += 1) {
      checksum = BASE62.charAt(rest % 62) + checksum;
      rest = Math.floor(rest / 62);
    }

    expect(sessionIdOf(checked + checksum)).toBeUndefined();
  });

  it("does not print itself", () => {
    const secret = vectors.tokens[1]?.token ?? "";
    const token = new Token(secret);

    const printed = [String(token), JSON.stringify({ token }), inspect({ token }, { depth: 9 })];

    for (const text of printed) {
      expect(text).not.toContain(secret.slice(4));
      expect(text).toContain("cc1_…[redacted]");
    }
    expect(token.reveal()).toBe(secret);
    expect(revealToken(token)).toBe(secret);
  });
});
