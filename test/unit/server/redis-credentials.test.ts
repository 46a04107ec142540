import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Log } from "#server/base/log.js";
import { silentLog } from "#server/base/log.js";
import { PasswordFileError, redisCredentials } from "#server/redis-credentials.js";
import { CertificateError } from "#server/transport/certificate-files.js";

let folder = "";
let passwordPath = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coatcheck-password-"));
  passwordPath = join(folder, "password");
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function read(text: string, log: Log = silentLog): ReturnType<typeof redisCredentials> {
  writeFileSync(passwordPath, text);
  return redisCredentials({ passwordPath, caPath: undefined }, log);
}

describe("the credentials for Redis (S-49)", () => {
  it.each([
    ["hunter2", "hunter2"],
    ["hunter2\n", "hunter2"],
    ["hunter2\r\n", "hunter2"],
    [" with spaces: and colons ", " with spaces: and colons "],
  ])("take the line %j for the password %j", (text, password) => {
    expect(read(text)().password).toBe(password);
  });

  it.each([
    ["is empty", ""],
    ["holds only a line end", "\n"],
    ["holds two lines", "hunter2\nhunter3\n"],
    ["is larger than a password", "h".repeat(1_025)],
  ])("refuse at the start a file that %s, and say nothing of what is in it", (_, text) => {
    function reading(): void {
      read(text);
    }

    expect(reading).toThrow(PasswordFileError);
    expect(reading).not.toThrow(/hunter|hhh/);
  });

  it("refuse at the start a file that is not there, by its code", () => {
    const missing = { passwordPath: join(folder, "missing"), caPath: undefined };

    expect(() => redisCredentials(missing, silentLog)).toThrow(/cannot be read \(ENOENT\)$/);
  });

  it("refuse at the start an authority that is none", () => {
    writeFileSync(passwordPath, "no certificate");
    const files = { passwordPath: undefined, caPath: passwordPath };

    expect(() => redisCredentials(files, silentLog)).toThrow(CertificateError);
  });

  it("are read anew each time, and stay where the file cannot be used, with a line that says so", () => {
    const lines: unknown[] = [];
    const log: Log = { ...silentLog, error: (fields, message) => lines.push([fields, message]) };
    const credentials = read("first", log);

    writeFileSync(passwordPath, "second");
    const exchanged = credentials().password;
    writeFileSync(passwordPath, "");
    const kept = credentials().password;

    expect([exchanged, kept]).toEqual(["second", "second"]);
    expect(lines).toEqual([
      [
        { why: expect.stringContaining(passwordPath) as string },
        "the credentials for Redis stay as they were",
      ],
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/"(first|second)/);
  });

  it("are nothing where no file is named: the URL's password counts", () => {
    const none = redisCredentials({ passwordPath: undefined, caPath: undefined }, silentLog);

    expect(none()).toEqual({ password: undefined, tlsAuthority: undefined });
  });
});
