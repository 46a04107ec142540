import { Metadata, status as Code, type ServiceError } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { Line } from "#client/transport/line.js";
import { ManualClock } from "../../../support/manual-clock.js";

class FakeChannel {
  isClosed = false;

  close(): void {
    this.isClosed = true;
  }
}

const DEADLINE_MS = 750;

function createLine() {
  const clock = new ManualClock();
  const opened: FakeChannel[] = [];
  let replacements = 0;
  const line = new Line({
    clock,
    open: () => {
      const channel = new FakeChannel();
      opened.push(channel);
      return channel;
    },
    onReplaced: () => {
      replacements += 1;
    },
  });
  function letRunOut(peer = "a"): void {
    const call = line.call();
    clock.advance(DEADLINE_MS);
    call.ranOut(peer);
  }
  function answer(error: ServiceError | null = null, peer = "a"): void {
    line.call().ended(peer, error);
  }
  return { clock, line, opened, letRunOut, answer, replacements: () => replacements };
}

function failure(code: Code): ServiceError {
  return Object.assign(new Error(), { code, details: "", metadata: new Metadata() });
}

describe("a line", () => {
  it("is dialled again after two calls in a row that one peer let run out", () => {
    const { line, opened, letRunOut, replacements } = createLine();
    letRunOut();
    expect(opened.length).toBe(1);
    letRunOut();

    expect(opened.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(line.client).toBe(opened[1]);
    expect(replacements()).toBe(1);
  });

  it("is not for one slow moment, however many calls it holds up", () => {
    const { clock, line, opened } = createLine();
    const calls = Array.from({ length: 100 }, () => line.call());
    clock.advance(DEADLINE_MS);
    for (const call of calls) call.ranOut("a");

    expect(opened.length).toBe(1);
  });

  it.each([null, failure(Code.INVALID_ARGUMENT), failure(Code.RESOURCE_EXHAUSTED)])(
    "is not where the peer said anything in between (%o)",
    (error) => {
      const { opened, letRunOut, answer } = createLine();
      letRunOut();
      answer(error);
      letRunOut();

      expect(opened.length).toBe(1);
    },
  );

  it.each([
    [failure(Code.UNAVAILABLE), "a"],
    [failure(Code.CANCELLED), "a"],
    [null, "b"],
  ] as const)("is where what came in between said nothing of that peer (%#)", (error, peer) => {
    const { opened, letRunOut, answer } = createLine();
    letRunOut();
    answer(error, peer);
    letRunOut();

    expect(opened.length).toBe(2);
  });

  it("counts a deadline that the transport noticed first", () => {
    const { clock, line, opened } = createLine();
    for (let calls = 0; calls < 2; calls += 1) {
      const call = line.call();
      clock.advance(DEADLINE_MS);
      call.ended("a", failure(Code.DEADLINE_EXCEEDED));
    }

    expect(opened.length).toBe(2);
  });

  it("is dialled less and less often while nobody answers, and at once after an answer", () => {
    const { clock, opened, letRunOut, answer } = createLine();
    const atMs: number[] = [];
    const startMs = clock.monotonicMs();
    for (let calls = 0; calls < 60; calls += 1) {
      const before = opened.length;
      letRunOut();
      if (opened.length > before) atMs.push(clock.monotonicMs() - startMs);
    }
    const gaps = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0));

    expect(gaps.slice(0, 4)).toEqual([2_250, 4_500, 8_250, 8_250]);
    answer();
    letRunOut();
    const { length } = opened;
    letRunOut();
    expect(opened.length).toBe(length + 1);
  });

  it("ignores what an earlier channel's calls came to", () => {
    const { clock, line, opened, letRunOut } = createLine();
    const early = [line.call(), line.call()];
    letRunOut();
    letRunOut();
    clock.advance(60_000);
    for (const call of early) call.ranOut("a");
    letRunOut();

    expect(opened.length).toBe(2);
  });

  it("is not dialled again once it is closed", () => {
    const { line, opened, letRunOut } = createLine();
    letRunOut();
    line.close();
    letRunOut();

    expect(opened.map(({ isClosed }) => isClosed)).toEqual([true]);
  });
});
