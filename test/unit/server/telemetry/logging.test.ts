import { randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import type { Log } from "#server/base/log.js";
import { formatToken, mintSessionId, randomSecret, tokenDigest } from "#server/session/token.js";
import { createLog } from "#server/telemetry/logging.js";

function createBook(): { log: Log; written: () => string } {
  let text = "";
  const log = createLog("debug", {
    write: (line) => {
      text += line;
    },
  });
  return { log, written: () => text };
}

/** What makes a reader or a terminal see two lines, or something else than was written. */
const FORGERIES: readonly (readonly [name: string, text: string])[] = [
  ["a line feed", '\n{"level":"error","msg":"forged"}'],
  ["a carriage return", "\r\nforged"],
  ["an ANSI sequence", "\u001b[2J\u001b[1;31mforged"],
  ["an 8-bit control sequence", "\u009b2Jforged"],
  ["a next line", "\u0085forged"],
  ["a line separator", "\u2028forged"],
  ["a paragraph separator", "\u2029forged"],
  ["a delete", "\u007fforged"],
  ["a null", "\u0000forged"],
  ["a quote", '","level":"error","msg":"forged'],
];

describe("a log entry", () => {
  it.each(FORGERIES)("stays one line with %s in it (S-45)", (_name, forgery) => {
    const { log, written } = createBook();

    log.warn({ field: `before${forgery}` }, `message${forgery}`);

    const text = written();
    expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    expect(text.endsWith("\n")).toBe(true);
    expect(JSON.parse(text)).toMatchObject({
      level: "warn",
      field: `before${forgery}`,
      msg: `message${forgery}`,
    });
  });

  it("has its time in UTC, its level and its service (S-45)", () => {
    const { log, written } = createBook();

    log.info({ method: "x" }, "y");

    expect(JSON.parse(written())).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      service: "coatcheck",
      method: "x",
      msg: "y",
    });
  });

  it("loses what looks like a token or a digest, and keeps a session id (S-46)", () => {
    const { log, written } = createBook();
    const sessionId = mintSessionId(3);
    const token = formatToken(sessionId, randomSecret());
    const digest = tokenDigest(token);

    log.error({ sessionId, token, digest, cut: token.slice(0, 50) }, `of ${token} and ${digest}`);

    expect(JSON.parse(written())).toMatchObject({
      sessionId,
      token: "[redacted]",
      digest: "[redacted]",
      cut: "[redacted]",
      msg: "of [redacted] and [redacted]",
    });
  });

  it("keeps longer and shorter numbers than a digest", () => {
    const { log, written } = createBook();
    const id = randomBytes(16).toString("hex");

    log.info({ id, long: "ab".repeat(40) }, "kept");

    expect(JSON.parse(written())).toMatchObject({ id, long: "ab".repeat(40) });
  });
});
