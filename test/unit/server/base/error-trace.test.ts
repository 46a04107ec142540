import { describe, expect, it } from "vitest";

import { traceOf } from "#server/base/error-trace.js";

const CANARY = "canary-10.0.0.7:6379";

class OddError extends Error {}

describe("traceOf", () => {
  it("names the class and the first frames", () => {
    const trace = traceOf(new OddError(CANARY), 2);

    expect(trace).toMatch(/^OddError \| at .*error-trace\.test\.ts:\d+:\d+\)? \| at [^|]+$/);
  });

  it.each([
    ["a message", new Error(CANARY)],
    ["a message of several lines", new Error(`${CANARY}\n${CANARY}\n\n${CANARY}`)],
    ["a message that looks like frames", new Error(`x\n    at ${CANARY}\n    at ${CANARY}`)],
    ["a name", Object.assign(new Error("x"), { name: CANARY })],
    ["a cause", new Error("x", { cause: new Error(CANARY) })],
    ["fields", Object.assign(new Error("x"), { command: { args: [CANARY] } })],
    ["a text", CANARY],
    ["an object", { message: CANARY, stack: `    at ${CANARY}` }],
  ])("tells nothing of %s (S-44)", (_name, thrown) => {
    expect(traceOf(thrown, 10)).not.toContain(CANARY);
  });

  it("tells no frame where the message was changed afterwards", () => {
    const error = new Error("first");
    error.stack = `Error: first\n    at ${CANARY}\n    at somewhere (file:1:1)`;
    error.message = "second";

    expect(traceOf(error, 10)).toBe("Error");
  });

  it.each([
    ["undefined", undefined],
    ["a number", 1],
    ["null", null],
  ])("says of what type %s is", (_name, thrown) => {
    expect(traceOf(thrown, 1)).toBe(typeof thrown);
  });
});
