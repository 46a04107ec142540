import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { toCommandError } from "#server/cli/operator/connection.js";
import { exitCodeOf } from "#server/cli/operator/exit.js";
import { createPrinter } from "#server/cli/operator/print.js";
import { runOperator } from "#server/cli/operator/program.js";

let stdout = "";
let stderr = "";

beforeEach(() => {
  stdout = "";
  stderr = "";
  vi.spyOn(console, "log").mockImplementation((text: string) => {
    stdout += `${text}\n`;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

function unavailable(details: string): ServiceError {
  const about = { code: status.UNAVAILABLE, details, metadata: new Metadata() };
  return Object.assign(new Error("failed"), about);
}

describe("the exit code of a failed call", () => {
  it.each([
    [status.UNAVAILABLE, 3],
    [status.DEADLINE_EXCEEDED, 3],
    [status.INVALID_ARGUMENT, 2],
    [status.NOT_FOUND, 1],
    [status.PERMISSION_DENIED, 1],
    [status.UNAUTHENTICATED, 1],
    [status.RESOURCE_EXHAUSTED, 1],
    [status.INTERNAL, 1],
  ])("of status %s is %s", (code, exitCode) => {
    expect(exitCodeOf(code)).toBe(exitCode);
  });
});

describe("what is said of a failed call", () => {
  it.each([
    [
      "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ",
      "UNAVAILABLE: no connection: connect ECONNREFUSED 127.0.0.1:1",
    ],
    [
      "No connection established. Last error: Error: 80:error:0A00010B:SSL routines:ssl3_get_record:" +
        "wrong version number:../deps/ssl3_record.c:350:\n. Resolution note: ",
      "UNAVAILABLE: no connection: TLS says wrong version number",
    ],
    ["The store is\r\n away", "UNAVAILABLE: The store is away"],
  ])("is one line: %j", (details, told) => {
    expect(toCommandError(unavailable(details)).message).toBe(told);
  });
});

describe("plaintext", () => {
  it.each(["authority.example:1", "localhost.example:1", "10.0.0.1:1", "dns:///10.0.0.1:1"])(
    "is not spoken to %s unless it is asked for",
    async (target) => {
      expect(await runOperator(["--target", target, "stats"])).toBe(2);
      expect(stderr).toBe(
        `Cannot speak plaintext to ${target}: give --tls or --ca, or --plaintext if you must\n`,
      );
    },
  );

  it.each(["127.0.0.1:1", "[::1]:1", "dns:///127.0.0.1:1"])("is spoken to %s", async (target) => {
    expect(await runOperator(["--target", target, "stats"])).toBe(3);
  });
});

describe("a table", () => {
  const table = createPrinter(false);

  it("shows no escape sequence and no line break that a caller wrote (S-45)", () => {
    table.list(["who"], [{ who: "\u001b[2J\u009b31mme\r\nroot" }]);
    table.one({ who: ["\u001b]0;title\u0007"] });
    table.line({}, "\u001b[31mred \u202edloc");

    expect(stdout).toBe(
      "WHO\n\u00b7[2J\u00b731mme\u00b7\u00b7root\nwho  \u00b7]0;title\u00b7\n\u00b7[31mred \u00b7dloc\n",
    );
  });

  it("shows seconds of an instant, a dash for nothing, and says that a list is empty", () => {
    table.list(["at", "what"], [{ at: "2026-11-21T06:58:23.781Z", what: "" }]);
    table.list(["at"], []);

    expect(stdout).toBe("AT                    WHAT\n2026-11-21 06:58:23Z  -\nnone\n");
  });

  it("of one thing leaves out what has no value", () => {
    table.one({ aal: 0, amr: [], note: "", gone: undefined, live: false });

    expect(stdout).toBe("aal   0\nlive  no\n");
  });
});

describe("JSON", () => {
  it("has every fact as it is, escaped as JSON is", () => {
    createPrinter(true).list(["at"], [{ at: "2026-11-21T06:58:23.781Z", who: "\u001b[2J" }]);

    expect(JSON.parse(stdout)).toEqual([{ at: "2026-11-21T06:58:23.781Z", who: "\u001b[2J" }]);
    expect(stdout).not.toContain("\u001b");
  });
});
