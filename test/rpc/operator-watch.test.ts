// What the operator's command prints for as long as somebody looks.

import { randomUUID } from "node:crypto";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { type Authority, type AuthorityOptions, createAuthority } from "#server/server.js";
import type { Store } from "#server/store/store.js";

import { type Child, startChild, startProcess } from "../support/child.js";
import { eventually } from "../support/eventually.js";
import { runOperator } from "../support/operator.js";
import { SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

// Each command is a process of its own, which on a busy machine takes a second or two to start.
const TIMEOUT_MS = 60_000;

type CreateStore = NonNullable<AuthorityOptions["createStore"]>;

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

async function create(subject = "alice"): Promise<string> {
  const { session } = await api.create({ tenantId, subject });
  return session?.sessionId ?? "";
}

describe("coatcheck watch", { timeout: TIMEOUT_MS }, () => {
  it("prints revocations as they happen, and nothing of another tenant", async () => {
    const watching = start("watch", "--tenant", tenantId, "--limit", "2");
    await watching.waitForLine(/watching/);
    const sessionId = await create();
    await api.revoke({ target: { $case: "sessionId", value: sessionId } });
    await api.revokeSubject({ tenantId: `${tenantId}-b` });
    await api.revokeSubject({ tenantId });

    expect(await watching.exited).toMatchObject({ code: 0 });
    const [, first, second] = watching.stdout.trimEnd().split("\n");
    expect(first).toMatch(new RegExp(`^\\S+  revoked  ${tenantId}  session ${sessionId}$`));
    expect(second).toMatch(new RegExp(`^\\S+  revoked  ${tenantId}  subject alice$`));
    expect(watching.stdout).not.toContain(`${tenantId}-b`);
  });

  it("is listed among the watchers while it runs", async () => {
    const watching = start("watch");
    await watching.waitForLine(/watching/);

    const env = { COATCHECK_TARGET: authority.address };
    const { stdout } = await runOperator(["--json", "watchers"], env);
    await watching.kill();

    expect(JSON.parse(stdout)).toContainEqual(
      expect.objectContaining({ client: "coatcheck-cli", streaming: true }),
    );
  });
});

describe("coatcheck watch over a restart", { timeout: TIMEOUT_MS }, () => {
  const listen = { host: "127.0.0.1", port: 0 };
  let replica: Authority;

  async function restart(createStore: CreateStore): Promise<void> {
    await replica.close();
    replica = await createAuthority({ createStore, listen: { ...listen, port: replica.port } });
  }

  async function revokeAt(address: string): Promise<void> {
    const own = new SessionApi(address);
    await own.revokeSubject({ tenantId });
    own.close();
  }

  afterEach(async () => {
    await replica.close();
  });

  it("goes on where it was, and prints what happened meanwhile", async () => {
    const kept = await openStore();
    replica = await createAuthority({ createStore: () => kept.store, listen });
    const other = await createAuthority({ createStore: () => kept.store, listen });
    const watching = startAt(replica.address, "watch", "--limit", "1");
    await watching.waitForLine(/watching/);

    await replica.close();
    await watching.waitForLine(/^disconnected: UNAVAILABLE.*; trying again$/);
    await revokeAt(other.address);
    await restart(() => kept.store);

    expect(await watching.exited).toMatchObject({ code: 0 });
    const [, , again, event] = watching.stdout.trimEnd().split("\n");
    expect(again).toBe("connected again");
    expect(event).toMatch(new RegExp(`revoked  ${tenantId}  subject alice$`));
    await other.close();
    await kept.close();
  });

  it("says so where the authority has come back with other data", async () => {
    replica = await createAuthority({ createStore: storeUnderTest.create, listen });
    const watching = startAt(replica.address, "--json", "watch", "--limit", "1");
    await eventually(() => replica.stats().watchers === 1);

    await restart(storeUnderTest.create);
    await eventually(() => replica.stats().watchers === 1, { timeoutMs: 20_000 });
    await revokeAt(replica.address);

    expect(await watching.exited).toMatchObject({ code: 0 });
    const kinds = watching.stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { kind: string }).kind);
    expect(kinds).toEqual(["disconnected", "reset", "connected", "revoked"]);
  });
});

describe("coatcheck into a pipe", { timeout: TIMEOUT_MS }, () => {
  it("is cut short by a signal as any command is", async () => {
    const watching = start("watch");
    await watching.waitForLine(/watching/);

    expect(await watching.kill("SIGINT")).toEqual({ code: null, signal: "SIGINT" });
    expect(watching.stderr).toBe("");
  });

  it("ends well where the reader has seen enough", async () => {
    for (let made = 0; made < 3; made += 1) await create();
    const { target, entry } = { target: authority.address, entry: "server/src/cli/coatcheck.ts" };
    const command = `"${process.execPath}" --conditions=@coatcheck/source --import=tsx ${entry}`;
    const piped = startProcess("bash", [
      "-c",
      `set -o pipefail; ${command} --target ${target} audit | true`,
    ]);

    expect(await piped.exited).toMatchObject({ code: 0 });
    expect(piped.stderr).toBe("");
  });
});

/** A store that outlives the authorities that use it, until `close`. */
async function openStore(): Promise<{ store: Store; close: () => Promise<void> }> {
  const options = { maxStalenessMs: 3_000, logRetention: 1_000, clock: systemClock };
  const store = storeUnderTest.create(options);
  await store.start();
  return {
    store: {
      kind: store.kind,
      sessions: store.sessions,
      log: store.log,
      audit: store.audit,
      setIncident: (command) => store.setIncident(command),
      start: () => Promise.resolve(),
      deploymentId: () => store.deploymentId(),
      condition: () => store.condition(),
      measure: () => store.measure(),
      close: () => Promise.resolve(),
    },
    close: () => store.close(),
  };
}

function start(...args: readonly string[]): Child {
  return startAt(authority.address, ...args);
}

function startAt(target: string, ...args: readonly string[]): Child {
  const env = { COATCHECK_TARGET: target };
  return startChild("server/src/cli/coatcheck.ts", { args, env });
}
