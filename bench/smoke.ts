import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { credentials } from "@grpc/grpc-js";
import type { GetStatsResponse } from "@coatcheck/proto";
import {
  AdminServiceClient,
  CreateSessionRequest,
  GetStatsRequest,
  SessionServiceClient,
  SessionServiceService,
  ValidateSessionRequest,
  ValidateSessionResponse,
  ValidationOutcome,
} from "@coatcheck/proto";

import { freePort } from "../test/support/free-port.js";
import { ROOT, startChild, type Child } from "../test/support/child.js";
import { startRedisServer, type RedisServer } from "../test/support/redis-server.js";
import { ghz, ghzInstalled, type GhzReport, type GhzRun } from "./lib/ghz.js";

/*
 * Is the hot path still the hot path? ValidateSession on Redis under ghz, and in
 * turn, in the same run, a pass-through grpc-js echo of the same bytes. The ratio
 * of the medians cancels the machine out.
 *
 * It fails unless every call was OK and the server's own counter of VALID answers
 * rose by exactly what ghz counted: a fast wrong answer is no result.
 */

const SESSIONS = 1_000;
const SEED_CONCURRENCY = 32;
const ROUNDS = 3;
const SECONDS = 4;
const CONCURRENCY = 50;
const TENANT = "smoke";
const RATIO_EXPECTED = 0.6;
const RATIO_SUSPICIOUS = 0.5;

interface Token {
  readonly tenantId: string;
  readonly token: string;
}

interface Bench {
  readonly sessions: SessionServiceClient;
  readonly admin: AdminServiceClient;
  readonly authority: GhzRun;
  readonly echo: GhzRun;
}

async function main(): Promise<void> {
  if (!(await ghzInstalled())) {
    throw new Error("ghz is not on the PATH; bench/README.md says how to install it");
  }
  const folder = mkdtempSync(join(tmpdir(), "coatcheck-smoke-"));
  const givenUrl = process.env["COATCHECK_TEST_REDIS_URL"];
  const redis = givenUrl === undefined ? await startRedisServer() : undefined;
  const children: Child[] = [];
  try {
    const bench = await start({ folder, redisUrl: givenUrl ?? redis?.url ?? "", children });
    await measure(bench);
  } finally {
    await end(children, redis);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function start(options: {
  readonly folder: string;
  readonly redisUrl: string;
  readonly children: Child[];
}): Promise<Bench> {
  const port = await freePort();
  const address = `127.0.0.1:${String(port)}`;
  options.children.push(
    startChild("server/src/main.ts", {
      env: { COATCHECK_LISTEN: address, COATCHECK_REDIS_URL: options.redisUrl },
    }),
  );
  const plaintext = credentials.createInsecure();
  const sessions = new SessionServiceClient(address, plaintext);
  const admin = new AdminServiceClient(address, plaintext);
  await new Promise<void>((resolve, reject) => {
    sessions.waitForReady(Date.now() + 20_000, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });

  const tokens = await seed(sessions);
  const dataFile = join(options.folder, "requests.json");
  writeFileSync(dataFile, JSON.stringify(tokens), { mode: 0o600 });
  const [first] = tokens;
  const replyFile = join(options.folder, "reply.bin");
  writeFileSync(replyFile, await replyBytes(sessions, first));
  const echo = startChild("bench/lib/echo-server.ts", { args: [replyFile] });
  options.children.push(echo);
  const [, echoAddress = ""] = await echo.waitForLine(/^listening on (\S+)$/);

  const run = {
    dataFile,
    protoset: join(ROOT, "proto/descriptors.binpb"),
    call: "coatcheck.v1.SessionService.ValidateSession",
    seconds: SECONDS,
    concurrency: CONCURRENCY,
  };
  return {
    sessions,
    admin,
    authority: { ...run, address },
    echo: { ...run, address: echoAddress },
  };
}

/** Distinct subjects, so distinct tokens, spread over all partitions. */
async function seed(sessions: SessionServiceClient): Promise<Token[]> {
  const tokens: Token[] = [];
  async function create(index: number): Promise<void> {
    const request = CreateSessionRequest.create({
      tenantId: TENANT,
      subject: `subject-${String(index)}`,
      clientId: "web",
      device: { id: `device-${String(index)}`, name: "phone", ipAddress: "", userAgent: "" },
      attributes: new Map([["locale", "en"]]),
    });
    const { token } = await new Promise<{ token: string }>((resolve, reject) => {
      sessions.createSession(request, (error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
    });
    tokens.push({ tenantId: TENANT, token });
  }
  for (let at = 0; at < SESSIONS; at += SEED_CONCURRENCY) {
    const some = Array.from({ length: Math.min(SEED_CONCURRENCY, SESSIONS - at) });
    await Promise.all(
      some.map(async (_none, offset) => {
        await create(at + offset);
      }),
    );
  }
  return tokens;
}

/** A reply as it is on the wire, for the echo to send back. */
async function replyBytes(sessions: SessionServiceClient, token?: Token): Promise<Buffer> {
  const { path, requestSerialize } = SessionServiceService.validateSession;
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    sessions.makeUnaryRequest(
      path,
      requestSerialize,
      (reply: Buffer) => reply,
      ValidateSessionRequest.create(token ?? {}),
      (error, reply) => {
        if (error) reject(error);
        else resolve(reply ?? Buffer.alloc(0));
      },
    );
  });
  const { outcome } = ValidateSessionResponse.decode(bytes);
  assertEqual(outcome, ValidationOutcome.VALID, "the outcome of a seeded token");
  return bytes;
}

async function measure(bench: Bench): Promise<void> {
  const pairs: { authority: GhzReport; echo: GhzReport }[] = [];
  await ghz({ ...bench.echo, seconds: 1 });
  await ghz({ ...bench.authority, seconds: 1 });
  const validBefore = await validCount(bench.admin);
  for (let round = 1; round <= ROUNDS; round += 1) {
    const echo = await ghz(bench.echo);
    const authority = await ghz(bench.authority);
    pairs.push({ authority, echo });
    print(`round ${String(round)}  echo       ${describe(echo)}`);
    print(`round ${String(round)}  authority  ${describe(authority)}`);
  }
  const validAfter = await validCount(bench.admin);

  const sent = pairs.reduce((sum, { authority }) => sum + authority.count, 0);
  const ok = pairs.reduce((sum, { authority }) => sum + (authority.statuses["OK"] ?? 0), 0);
  assertEqual(ok, sent, "calls that were OK");
  assertEqual(Number(validAfter - validBefore), sent, "VALID answers the server counted");
  print(`${String(sent)} calls, all OK; the server counted as many VALID answers`);

  const ratio =
    median(pairs.map(({ authority }) => authority.rps)) / median(pairs.map(({ echo }) => echo.rps));
  print(`validate on Redis / pass-through echo: ${ratio.toFixed(2)} (${verdict(ratio)})`);
}

async function validCount(admin: AdminServiceClient): Promise<bigint> {
  const stats = await new Promise<GetStatsResponse>((resolve, reject) => {
    admin.getStats(GetStatsRequest.create(), (error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
  return stats.outcomes.find(({ outcome }) => outcome === ValidationOutcome.VALID)?.count ?? 0n;
}

function verdict(ratio: number): string {
  if (ratio >= RATIO_EXPECTED) return `as expected: ${String(RATIO_EXPECTED)} and more`;
  if (ratio >= RATIO_SUSPICIOUS) return `below the expected ${String(RATIO_EXPECTED)}`;
  return "SUSPICIOUS: the hot path does more than it should; profile it";
}

function describe(report: GhzReport): string {
  return (
    `${report.rps.toFixed(0).padStart(6)} calls/s` +
    `  p50 ${report.p50Ms.toFixed(1)} ms  p99 ${report.p99Ms.toFixed(1)} ms` +
    `  ${JSON.stringify(report.statuses)}`
  );
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function assertEqual(actual: number, expected: number, what: string): void {
  if (actual !== expected) {
    throw new Error(`Expected ${what} to be ${String(expected)}, got ${String(actual)}`);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function end(children: readonly Child[], redis: RedisServer | undefined): Promise<void> {
  await Promise.all(children.map(async (child) => await child.kill("SIGTERM")));
  await redis?.stop();
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
