import { once } from "node:events";
import { connect } from "node:http2";

import { RevocationServiceService } from "@coatcheck/proto";
import { afterEach, describe, expect, it } from "vitest";

import { type Child, startChild } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { failure, SessionApi } from "../support/session-api.js";

const MAIN = "server/src/main.ts";
const running: Child[] = [];

function start(env: Record<string, string>): Child {
  const child = startChild(MAIN, { env });
  running.push(child);
  return child;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.kill()));
});

describe("npm start", () => {
  it("says loudly that nothing survives, and prints what to paste", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const child = start({ COATCHECK_LISTEN: address });
    await child.waitForLine(/COATCHECK_REDIS_URL=/);

    expect(child.stdout).toContain("MEMORY STORE: every session is gone when this process ends");
    expect(child.stdout).toContain(`${address} coatcheck.v1.SessionService/CreateSession`);
    expect(child.stdout).toContain(`target: "${address}"`);
    expect(child.stdout).not.toMatch(/\u001b\[/);
    const api = new SessionApi(address);
    expect((await api.create()).token).not.toBe("");
    api.close();
  });

  it("drains and exits 0 on SIGTERM", async () => {
    const child = start({ COATCHECK_LISTEN: `127.0.0.1:${await freePort()}` });
    await child.waitForLine(/listens on/);

    expect(await child.kill("SIGTERM")).toMatchObject({ code: 0 });
  });

  it("drains under load, past a client that reads nothing, and exits 0 within 25 s", async () => {
    const port = await freePort();
    const child = start({ COATCHECK_LISTEN: `127.0.0.1:${port}` });
    await child.waitForLine(/listens on/);
    const api = new SessionApi(`127.0.0.1:${port}`);
    const { token } = await api.create();
    // It grants no window, so the server can send it nothing but headers.
    const stuck = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } });
    stuck.on("error", () => undefined);
    const watch = stuck.request({
      ":method": "POST",
      ":path": RevocationServiceService.watchRevocations.path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    watch.on("error", () => undefined);
    watch.end(Buffer.alloc(5));
    await once(watch, "response");
    const stopped = new AbortController();
    const codes = new Set<string>();
    const load = (async () => {
      while (!stopped.signal.aborted) {
        const told = await failure(api.validate(token)).catch(() => undefined);
        if (told !== undefined) codes.add(told.code);
      }
    })();

    expect(await child.kill("SIGTERM")).toMatchObject({ code: 0 });
    stopped.abort();
    await load;

    // What is cut is told so that it is tried elsewhere; nothing else fails.
    expect([...codes].filter((code) => code !== "UNAVAILABLE")).toEqual([]);
    stuck.destroy();
    api.close();
  }, 25_000);

  it("exits 2 with one sentence where the configuration is wrong", async () => {
    const child = start({ COATCHECK_MAX_STALENESS: "fast" });

    expect(await child.exited).toMatchObject({ code: 2 });
    expect(child.stderr).toContain('Cannot set COATCHECK_MAX_STALENESS to "fast"');
  });

  it("exits 1 with one sentence where the address is taken", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    await start({ COATCHECK_LISTEN: address }).waitForLine(/listens on/);

    const second = start({ COATCHECK_LISTEN: address });

    expect(await second.exited).toMatchObject({ code: 1 });
    expect(second.stderr).toContain(`Cannot listen on ${address}`);
  });
});
