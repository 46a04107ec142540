import { afterEach, describe, expect, it } from "vitest";

import { startChild, type Child } from "../support/child.js";
import { eventually } from "../support/eventually.js";

const TEST_MS = 60_000;
const running: Child[] = [];

async function startDemo(): Promise<{ demo: Child; actors: readonly number[] }> {
  const demo = startChild("server/src/cli/demo.ts", { env: { COATCHECK_REDIS_URL: undefined } });
  running.push(demo);
  await demo.waitForLine(/Ada logs in/, TEST_MS);
  const actors = [...demo.stdout.matchAll(/, pid (\d+)/g)].map(([, pid]) => Number(pid));
  return { demo, actors };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.kill()));
});

describe("npm run demo", () => {
  it("tells the whole story and exits 0", { timeout: TEST_MS }, async () => {
    const { demo } = await startDemo();
    const exit = await demo.exited;

    expect(exit, demo.stderr).toMatchObject({ code: 0 });
    expect(demo.stdout).toMatch(/^All of it happened, in \d+\.\d s\.$/m);
    expect(demo.stdout).not.toContain("\u001b[");
  });

  // A SIGKILL leaves it no time to end the others: they have to notice.
  it.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const)(
    "leaves no process behind after %s",
    { timeout: TEST_MS },
    async (signal) => {
      const { demo, actors } = await startDemo();
      expect(actors.map(isAlive)).toEqual([true, true, true]);

      const { code } = await demo.kill(signal);

      expect(code).not.toBe(0);
      await eventually(() => !actors.some(isAlive));
    },
  );

  it("says in one sentence what is wrong with the configuration", async () => {
    const demo = startChild("server/src/cli/demo.ts", { env: { COATCHECK_MAX_STALENESS: "fast" } });
    running.push(demo);
    const { code } = await demo.exited;

    expect(code).toBe(1);
    expect(demo.stderr).toContain('The demo failed: Cannot set COATCHECK_MAX_STALENESS to "fast"');
    expect(demo.stderr).not.toContain("    at ");
  });
});
