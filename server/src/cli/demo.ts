import { createSessionClient, type SessionClient } from "@coatcheck/client";

import { machineNowMs } from "../base/machine-clock.js";
import { readConfig } from "../config.js";
import {
  DEMO_NAMESPACE,
  freePort,
  startAuthority,
  startService,
  type Actor,
  type AuthorityProcess,
  type Service,
} from "./demo/cast.js";
import { createNarrator, type Narrator } from "./demo/narrator.js";
import { startCutProxy, type CutProxy } from "./cut-proxy.js";

/*
 * The whole story on one machine: an authority and two services, each a process
 * of its own, with a fault proxy between them. Everything it prints was measured
 * or checked in this run; where anything it claims does not happen, it says what
 * and exits with code 1.
 */

const CROWD = 300;
const CROWD_AT_ONCE = 20;
const HIT_ROUNDS = 50;
const START_MS = 15_000;
const SIGNALS = [
  ["SIGHUP", 1],
  ["SIGINT", 2],
  ["SIGTERM", 15],
] as const;

interface Stage {
  readonly tell: Narrator;
  readonly services: readonly Service[];
  /** The identity service: it issues and revokes, and never goes through the proxies. */
  readonly issuer: SessionClient;
  /** Calls and Sync of both services. */
  readonly calls: CutProxy;
  /** The revocation streams of both services. */
  readonly streams: CutProxy;
}

interface Login {
  readonly device: string;
  readonly sessionId: string;
  readonly token: string;
}

async function main(): Promise<void> {
  const tell = createNarrator(process.stdout);
  const actors: Actor[] = [];
  process.once("exit", () => {
    for (const actor of actors) {
      actor.kill();
    }
  });
  for (const [signal, number] of SIGNALS) {
    // Exit handlers run (the actors end, the cursor is shown), which a signal alone would skip.
    process.once(signal, () => process.exit(128 + number));
  }
  const startedMs = machineNowMs();
  const stage = await raiseTheCurtain(tell, actors);
  const { phone, laptop, tablet } = await logInOnThreeDevices(stage);
  await validateInBothServices(stage, [phone, laptop, tablet]);
  await revokeOne(stage, phone);
  await logOutEverywhereButHere(stage, { here: laptop, there: tablet });
  await cutTheStream(stage);
  await cutSyncToo(stage, laptop);
  await stage.issuer.close();
  tell.chapter(`All of it happened, in ${seconds(machineNowMs() - startedMs)}.`);
}

async function raiseTheCurtain(tell: Narrator, actors: Actor[]): Promise<Stage> {
  const { redisUrl } = readConfig();
  tell.chapter("An authority and two services, each a process of its own");
  const port = await freePort();
  const authority = startAuthority(port);
  actors.push(authority);
  const target = `127.0.0.1:${String(port)}`;
  const issuer = createSessionClient({
    target,
    tenantId: "acme",
    clientName: "identity",
    credentials: "plaintext",
  });
  await tell.wait(
    "the authority starts",
    untilReady(issuer, authority),
    () =>
      `authority, pid ${String(authority.pid)}, ` +
      (redisUrl !== undefined
        ? `on Redis, keys begin with ${DEMO_NAMESPACE}`
        : "on the memory store: nothing survives its end"),
  );
  const calls = await startCutProxy({ targetPort: port });
  const streams = await startCutProxy({ targetPort: port });
  const targets = { target: calls.address, watchTarget: streams.address };
  const services = await tell.wait(
    "two services start",
    Promise.all(["orders", "billing"].map((name) => startService(name, targets))),
    (started) => started.map(({ name, pid }) => `${name}, pid ${String(pid)}`).join(" · "),
  );
  actors.push(...services);
  return { tell, services, issuer, calls, streams };
}

async function untilReady(issuer: SessionClient, authority: AuthorityProcess): Promise<void> {
  const signal = AbortSignal.timeout(START_MS);
  try {
    await Promise.race([issuer.ready({ signal }), authority.ended]);
  } catch (error) {
    if (!signal.aborted) throw error;
    const { redisUrl } = readConfig();
    throw new Error(
      `the authority was not ready within ${seconds(START_MS)}` +
        (redisUrl === undefined ? "" : ": can it reach the Redis of COATCHECK_REDIS_URL?"),
      { cause: error },
    );
  }
}

async function logInOnThreeDevices(
  stage: Stage,
): Promise<Record<"phone" | "laptop" | "tablet", Login>> {
  stage.tell.chapter("Ada logs in on three devices");
  const phone = await logIn(stage, "ada", "phone");
  const laptop = await logIn(stage, "ada", "laptop");
  const tablet = await logIn(stage, "ada", "tablet");
  return { phone, laptop, tablet };
}

async function logIn(stage: Stage, subject: string, device: string): Promise<Login> {
  const created = await stage.issuer.create({ subject, clientId: "web", device: { id: device } });
  const login = {
    device,
    sessionId: created.session.sessionId,
    token: created.token.reveal(),
  };
  stage.tell.fact(`${device}: session ${login.sessionId}`);
  return login;
}

async function validateInBothServices(stage: Stage, logins: readonly Login[]): Promise<void> {
  stage.tell.chapter("Both services validate, first by RPC, then from their own memory");
  const crowd = await stage.tell.wait(
    `${String(CROWD)} more users log in`,
    logInCrowd(stage),
    (tokens) => `${String(tokens.length)} more users logged in`,
  );
  const tokens = [...logins.map(({ token }) => token), ...crowd];
  for (const service of stage.services) {
    const first = await service.ask("validateAll", { tokens, rounds: 1 });
    const again = await service.ask("validateAll", { tokens, rounds: HIT_ROUNDS });
    expect(first.fromCache === 0, `${service.name} knew tokens it had never seen`);
    expect(again.fromCache === again.validations, `${service.name} asked again`);
    const rates = [first, again].map((run) => run.validations / run.seconds);
    const [byRpc = 0, fromCache = 0] = rates;
    stage.tell.fact(
      `${service.name}: ${perSecond(byRpc)} by RPC, ${perSecond(fromCache)} from cache ` +
        `(× ${(fromCache / byRpc).toFixed(0)})`,
    );
  }
}

async function logInCrowd(stage: Stage): Promise<string[]> {
  const tokens: string[] = [];
  while (tokens.length < CROWD) {
    const some = Array.from({ length: CROWD_AT_ONCE }, async (_none, index) => {
      return await stage.issuer.create({ subject: `user-${String(tokens.length + index)}` });
    });
    tokens.push(...(await Promise.all(some)).map(({ token }) => token.reveal()));
  }
  return tokens;
}

async function revokeOne(stage: Stage, phone: Login): Promise<void> {
  stage.tell.chapter("The phone is stolen: its session is revoked");
  const tookMs = await revokeAndMeasure(stage, phone, () =>
    stage.issuer.revoke({ sessionId: phone.sessionId }, { reason: "user-logout" }),
  );
  stage.tell.fact(`revoke → both caches dropped it: ${tookMs.toFixed(1)} ms`);
  await expectEverywhere(stage, phone, "revoked");
}

async function logOutEverywhereButHere(
  stage: Stage,
  { here, there }: { here: Login; there: Login },
): Promise<void> {
  stage.tell.chapter("Ada logs out everywhere but on the laptop");
  const tookMs = await revokeAndMeasure(stage, there, () =>
    stage.issuer.revokeSubject("ada", {
      exceptSessionId: here.sessionId,
      reason: "user-logout",
    }),
  );
  stage.tell.fact(`revoke → both caches dropped the tablet: ${tookMs.toFixed(1)} ms`);
  await expectEverywhere(stage, there, "revoked");
  await expectEverywhere(stage, here, "valid");
}

async function cutTheStream(stage: Stage): Promise<void> {
  stage.tell.chapter("The stream is cut: Sync alone keeps the promise");
  const tablet = await logIn(stage, "ada", "tablet");
  stage.streams.cut();
  await everyService(stage, (service) =>
    service.ask("awaitState", { state: "fresh", streaming: false }),
  );
  await expectEverywhere(stage, tablet, "valid");
  const boundMs = stage.issuer.status().maxStalenessMs;
  const tookMs = await stage.tell.wait(
    "revoked; waiting for the next Sync",
    revokeAndMeasure(stage, tablet, () =>
      stage.issuer.revoke({ sessionId: tablet.sessionId }, { reason: "user-logout" }),
    ),
    (ms) => `revoke → both caches dropped it: ${ms.toFixed(0)} ms (bound ${String(boundMs)} ms)`,
  );
  expect(tookMs <= boundMs, `it took ${tookMs.toFixed(0)} ms, longer than the bound`);
  await expectEverywhere(stage, tablet, "revoked");
}

async function cutSyncToo(stage: Stage, laptop: Login): Promise<void> {
  stage.tell.chapter("Sync is cut too: no service accepts what it cannot prove");
  await expectEverywhere(stage, laptop, "valid");
  const cutAtMs = machineNowMs();
  stage.calls.cut();
  await stage.tell.wait(
    "waiting for the leases to lapse",
    everyService(stage, (service) => service.ask("awaitState", { state: "jeopardy" })),
    () => `both leases lapsed ${seconds(machineNowMs() - cutAtMs)} after the cut`,
  );
  await expectEverywhere(stage, laptop, "unavailable");
  const healedAtMs = machineNowMs();
  stage.calls.heal();
  stage.streams.heal();
  await stage.tell.wait(
    "the network is back; waiting for the leases",
    everyService(stage, (service) =>
      service.ask("awaitState", { state: "fresh", streaming: true }),
    ),
    () => `both are fresh again ${seconds(machineNowMs() - healedAtMs)} later, streams and all`,
  );
  await expectEverywhere(stage, laptop, "valid");
}

/** Milliseconds from sending the revocation until the last cache would no longer accept. */
async function revokeAndMeasure(
  stage: Stage,
  login: Login,
  revoke: () => Promise<unknown>,
): Promise<number> {
  const drops = everyService(stage, (service) => service.ask("reportDrop", login));
  const sentAtMs = machineNowMs();
  const [instants] = await Promise.all([drops, revoke()]);
  return Math.max(...instants.map(({ atMs }) => atMs - sentAtMs));
}

async function expectEverywhere(stage: Stage, login: Login, expected: string): Promise<void> {
  const answers = await everyService(stage, (service) => service.ask("validate", login));
  const said = answers.map(({ kind, outcome }) => (kind === "invalid" ? outcome : kind));
  const names = stage.services.map(({ name }) => name).join(" and ");
  expect(
    said.every((word) => word === expected),
    `${names} should say "${expected}" of the ${login.device} and say: ${said.join(", ")}`,
  );
  stage.tell.fact(`${names} say of the ${login.device}: ${expected}`);
}

function everyService<T>(stage: Stage, ask: (service: Service) => Promise<T>): Promise<T[]> {
  return Promise.all(stage.services.map(ask));
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) {
    throw new Error(otherwise);
  }
}

function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString("en")} validations/s`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(
      `\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  },
);
