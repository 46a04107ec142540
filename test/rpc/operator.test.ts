import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import { startChild } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { type OperatorRun, runOperator } from "../support/operator.js";
import { SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

// Each command is a process of its own, which on a busy machine takes a second or two to start.
const TIMEOUT_MS = 60_000;

let authority: Authority;
let api: SessionApi;
let tenantId = "";

beforeAll(async () => {
  authority = await createAuthority({ createStore: storeUnderTest.create });
  api = new SessionApi(authority.address);
});

afterAll(async () => {
  api.close();
  await authority.close();
});

beforeEach(() => {
  tenantId = `tenant-${randomUUID()}`;
});

async function coatcheck(...args: readonly string[]): Promise<OperatorRun> {
  return await runOperator(args, { COATCHECK_TARGET: authority.address });
}

async function json(...args: readonly string[]): Promise<unknown> {
  const { stdout, stderr, code } = await coatcheck("--json", ...args);
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout);
}

async function create(subject = "alice"): Promise<string> {
  const { session } = await api.create({ tenantId, subject });
  return session?.sessionId ?? "";
}

describe("coatcheck sessions", { timeout: TIMEOUT_MS }, () => {
  it("lists, shows, ends one, and shows how it ended", async () => {
    const sessionId = await create();

    expect(await json("sessions", "list", tenantId, "alice")).toMatchObject([
      { session_id: sessionId, state: "active", subject: "alice" },
    ]);
    const revoked = await json(
      ...["sessions", "revoke", sessionId, "--reason", "account_disabled", "--note", "ticket 7"],
    );
    expect(revoked).toMatchObject({
      session_id: sessionId,
      already_revoked: false,
      effective_within_ms: 3003,
    });
    expect(await json("sessions", "get", sessionId)).toMatchObject({
      state: "revoked",
      ended_reason: "account_disabled",
      ended_by: "admin",
    });
    expect(await json("audit", "--session", sessionId)).toMatchObject([
      { method: "RevokeSession", reason_admin: "ticket 7", status: "OK" },
      { method: "CreateSession", caller: "local" },
    ]);
  });

  it("ends those of a subject, and spares one", async () => {
    const spared = await create();
    const ended = await create();

    const reply = await json("sessions", "revoke-subject", tenantId, "alice", "--except", spared);
    const table = await coatcheck("sessions", "list", tenantId, "alice");

    expect(reply).toMatchObject({ subject: "alice", revoked_estimate: 1 });
    expect(table.stdout).toContain("SESSION_ID");
    expect(table.stdout).toContain(spared);
    expect(table.stdout).not.toContain(ended);
  });

  it("shows no escape sequence that a caller wrote (S-45)", async () => {
    const { session } = await api.create({ tenantId, device: device("\u001b[2Jphone\r\n") });

    const { stdout } = await coatcheck("sessions", "get", session?.sessionId ?? "");

    expect(stdout).toContain("\u00b7[2Jphone");
    expect(stdout).not.toMatch(/[\u001b\r]/);
  });

  it("exits 1 where there is no such session", async () => {
    const missing = `00${"a".repeat(22)}`;

    expect(await coatcheck("sessions", "get", missing)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("NOT_FOUND SESSION_NOT_FOUND") as string,
    });
    expect(await coatcheck("sessions", "revoke", missing)).toMatchObject({
      code: 1,
      stderr: `There is no session ${missing}\n`,
    });
  });
});

describe("coatcheck stats and incident", { timeout: TIMEOUT_MS }, () => {
  it("shows what the replica has done", async () => {
    await create();

    expect(await json("stats")).toMatchObject({
      store: storeUnderTest.create.name === "createMemoryStore" ? "memory" : "redis",
      max_staleness_ms: 3000,
    });
  });

  it("tightens, shows it, and ends it", async () => {
    const set = await json("incident", "set", "--lasts", "10m", "--max-staleness", "1s");
    const during = await json("stats");
    const shown = await json("incident");
    const end = await json("incident", "end");
    const after = await json("incident");
    const told = await json("audit", "--limit", "2");

    expect(told).toMatchObject([
      { method: "SetIncidentMode", reason_admin: "ended" },
      { method: "SetIncidentMode", reason_admin: "max_staleness 1000 ms for 600 s" },
    ]);
    expect(set).toMatchObject({ running: true, effective_within_ms: 3503 });
    expect(during).toMatchObject({ max_staleness_ms: 1000, incident: true });
    expect(shown).toEqual({
      running: true,
      max_staleness_ms: 1000,
      stop_caching: false,
      stop_creating: false,
      remaining_ms: expect.any(Number) as number,
    });
    expect(end).toMatchObject({ running: false });
    expect(after).toEqual({ running: false });
  });

  it("ends everything only when it is told the words", async () => {
    const sessionId = await create();

    const refused = await coatcheck("incident", "revoke-all", "--confirm", "yes");
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain('it must be "revoke all sessions"');
    expect(await json("incident", "revoke-all", "--confirm", "revoke all sessions")).toMatchObject({
      partitions: 16,
    });
    expect(await json("sessions", "get", sessionId)).toMatchObject({ state: "revoked" });
  });
});

describe("the exit code of coatcheck", { timeout: TIMEOUT_MS }, () => {
  it.each([
    ["an unknown command", ["sesions"]],
    ["a missing argument", ["sessions", "get"]],
    ["an unknown reason", ["sessions", "revoke", "x", "--reason", "because"]],
    ["a duration without a unit", ["incident", "set", "--lasts", "10"]],
    ["what the authority calls wrong", ["sessions", "get", "x"]],
    ["plaintext to another machine", ["--target", "authority.example:7443", "stats"]],
    ["a doctor without a Redis", ["doctor"]],
  ])("is 2 for %s, with a sentence on stderr alone", async (_, args) => {
    const run = await coatcheck(...args);

    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).not.toBe("");
    expect(run.stderr).not.toContain("    at ");
  });

  it("is 3 where nobody listens", async () => {
    const target = `127.0.0.1:${await freePort()}`;

    expect(await coatcheck("--target", target, "stats")).toMatchObject({ code: 3, stdout: "" });
  });

  it("is 0 for help and version", async () => {
    const [help, version] = await Promise.all([coatcheck("--help"), coatcheck("--version")]);

    expect([help.code, version.code]).toEqual([0, 0]);
    for (const command of ["serve", "sessions", "watch", "watchers", "stats", "audit", "doctor"]) {
      expect(help.stdout).toContain(command);
    }
  });
});

describe("coatcheck serve", { timeout: TIMEOUT_MS }, () => {
  it("is the authority, and drains on SIGTERM", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const child = startChild("server/src/cli/coatcheck.ts", {
      args: ["serve"],
      env: { COATCHECK_LISTEN: address, COATCHECK_TARGET: address },
    });
    await child.waitForLine(/listens on/);

    expect(await runOperator(["stats"], { COATCHECK_TARGET: address })).toMatchObject({ code: 0 });
    expect(await child.kill("SIGTERM")).toMatchObject({ code: 0 });
  });
});

function device(name: string): { id: string; name: string; ipAddress: string; userAgent: string } {
  return { id: "d1", name, ipAddress: "", userAgent: "" };
}
