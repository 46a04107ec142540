import { describe, expect, it } from "vitest";

import { Turns } from "#server/base/turns.js";

describe("turns", () => {
  it("do the work on one key one after another, in order", async () => {
    const turns = new Turns();
    const seen: string[] = [];
    const works = ["a", "b", "c"].map((name) =>
      turns.take("key", async () => {
        seen.push(`${name} begins`);
        await Promise.resolve();
        seen.push(`${name} ends`);
        return name;
      }),
    );

    expect(await Promise.all(works)).toEqual(["a", "b", "c"]);
    expect(seen).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  });

  it("of one key do not wait for another", async () => {
    const turns = new Turns();
    let release: () => void = () => undefined;
    const held = turns.take("held", () => new Promise<void>((resolve) => (release = resolve)));

    expect(await turns.take("free", () => Promise.resolve("done"))).toBe("done");
    release();
    await held;
  });

  it("go on after work that failed, which only its asker is told, and keep nothing (R8)", async () => {
    const turns = new Turns();
    const failed = turns.take("key", () => Promise.reject(new Error("broken")));
    const next = turns.take("key", () => Promise.resolve("done"));

    await expect(failed).rejects.toThrow("broken");
    expect(await next).toBe("done");
    expect(turns.size).toBe(0);
  });
});
