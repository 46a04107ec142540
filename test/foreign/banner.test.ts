import { afterEach, describe, expect, it } from "vitest";

import { startChild, startProcess, type Child } from "../support/child.js";
import { freePort } from "../support/free-port.js";

/*
 * The call that `npm start` prints, as a newcomer runs it: copied whole into a
 * shell, in the folder where they cloned the repository.
 */

const TEST_MS = 60_000;
const running: Child[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.kill()));
});

describe("the grpcurl call of the banner", () => {
  it.for([
    { schema: "the .proto files", reflection: "0" },
    { schema: "reflection", reflection: "1" },
  ])("creates a session, with $schema", { timeout: TEST_MS }, async ({ reflection }) => {
    const authority = startChild("server/src/main.ts", {
      env: {
        COATCHECK_LISTEN: `127.0.0.1:${await freePort()}`,
        COATCHECK_REFLECTION: reflection,
      },
    });
    running.push(authority);
    await authority.waitForLine(/^import /);
    const call = /^grpcurl [\s\S]*?CreateSession$/m.exec(authority.stdout)?.[0] ?? "";

    const shell = startProcess("sh", ["-c", call]);
    const { code } = await shell.exited;

    expect(code, shell.stderr).toBe(0);
    expect(JSON.parse(shell.stdout)).toMatchObject({
      session: { subject: "alice", state: "SESSION_STATE_ACTIVE" },
      token: expect.stringMatching(/^cc1_[0-9A-Za-z]{73}$/) as string,
    });
  });
});
