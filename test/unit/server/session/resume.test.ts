import { describe, expect, it } from "vitest";

import { decideResume, type LogHistory } from "#server/session/resume.js";
import type { Revision } from "#server/session/revision.js";

function at(generation: number, sequence: number): Revision {
  return { partition: 3, generation, sequence };
}

/** Generation 10 survived up to 8, generation 20 up to 5, and 30 is now at 7; 10-4 was trimmed. */
const history: LogHistory = {
  head: at(30, 7),
  trimmedThrough: at(10, 4),
  forks: [
    { generation: 10, lastSequence: 8 },
    { generation: 20, lastSequence: 5 },
  ],
};

describe("a position, by FAULTS.md's resume table,", () => {
  it.each([
    ["at the head", at(30, 7), "continue"],
    ["before the head", at(30, 6), "continue"],
    ["at the beginning of the generation", at(30, 0), "continue"],
    ["ahead of the head", at(30, 8), "behind"],
    ["in a newer generation", at(31, 0), "behind"],
    ["in an older generation, at its fork", at(20, 5), "continue"],
    ["in an older generation, before its fork", at(20, 4), "continue"],
    ["in an older generation, after its fork", at(20, 6), "history-forked"],
    ["two generations back, at its fork", at(10, 8), "continue"],
    ["two generations back, after its fork", at(10, 9), "history-forked"],
    ["the last one trimmed", at(10, 4), "continue"],
    ["the one before the last trimmed", at(10, 3), "too-old"],
    ["in a generation before all that is known", at(9, 0), "too-old"],
    ["in a generation nobody opened", at(15, 0), "history-forked"],
  ] as const)("%s", (_name, position, verdict) => {
    expect(decideResume(position, history)).toBe(verdict);
  });

  it("after a fork is forked even where the log was trimmed since", () => {
    const trimmed = { ...history, trimmedThrough: at(30, 2) };

    expect(decideResume(at(20, 6), trimmed)).toBe("history-forked");
    expect(decideResume(at(20, 5), trimmed)).toBe("too-old");
    expect(decideResume(at(30, 2), trimmed)).toBe("continue");
  });

  it("in any older generation is too old where no fork is known", () => {
    expect(decideResume(at(29, 0), { head: at(30, 7), trimmedThrough: at(30, 0), forks: [] })).toBe(
      "too-old",
    );
  });
});
