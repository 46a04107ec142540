import { createWriteStream, readdirSync, readFileSync, rmSync, mkdtempSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ListAuditEventsRequest } from "@coatcheck/proto";
import { Redis } from "ioredis";

import { formatToken, mintSessionId, randomSecret, tokenDigest } from "#server/session/token.js";

import { type Child, startChild } from "../support/child.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { scrape } from "../support/prometheus.js";
import { startRedisServer, type RedisServer } from "../support/redis-server.js";
import { invoke, SessionApi } from "../support/session-api.js";
import { Canaries } from "./canaries.js";
import { liveOnce, printed, type Traces } from "./lives.js";

/*
 * A hunt: an authority at debug level, on a Redis that writes down everything it
 * can, and thousands of requests. Then everything that was written, by anybody, is
 * searched for the secrets of all sessions (S-04, S-44, S-46, B-17).
 */

/** What to hunt with. */
export interface HuntOptions {
  /** At least so many requests. */
  readonly requests: number;
  /** Whether some requests have a token in their metadata, where none belongs. @default true */
  readonly hasTokenInMetadata?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether a secret is leaked on purpose, everywhere. @default false */
  readonly isPlanted?: boolean;
}

/** What was searched and what was found in it. */
export interface Quarry {
  readonly requests: number;
  readonly failures: number;
  readonly secrets: number;
  readonly places: readonly Place[];
}

/** One place where a secret could be. */
export interface Place {
  readonly name: string;
  readonly bytes: number;
  readonly secrets: readonly string[];
  /** Undefined where digests belong. */
  readonly digests: readonly string[] | undefined;
}

const CONCURRENCY = 32;
const AUDIT_PAGE = 100;
/** The slow log is emptied before it is full, which is after some 20 commands a life. */
const SLOWLOG_EVERY = 1000;
const REDIS_CONFIG = {
  appendonly: "yes",
  "auto-aof-rewrite-percentage": "0",
  rdbcompression: "no",
  "slowlog-log-slower-than": "0",
  "slowlog-max-len": "100000",
};

/** Hunts, and returns what was found. */
export async function hunt(options: HuntOptions): Promise<Quarry> {
  const { requests, hasTokenInMetadata = true, env = {}, isPlanted = false } = options;
  const redis = await startRedisServer({ config: REDIS_CONFIG });
  const folder = mkdtempSync(join(tmpdir(), "coatcheck-hunt-"));
  const ground = new Ground(redis, folder);
  try {
    const planted = isPlanted ? formatToken(mintSessionId(0), randomSecret()) : undefined;
    await ground.open(env, planted);
    const traces: Traces = {
      secrets: new Canaries(),
      digests: new Canaries(),
      answers: [],
      hasTokenInMetadata,
      requests: 0,
      failures: 0,
    };
    await ground.liveUntil(traces, requests);
    if (planted !== undefined) await ground.plant(traces, planted);
    const places = await ground.search(traces);
    const { requests: made, failures, secrets } = traces;
    return { requests: made, failures, secrets: secrets.size, places };
  } finally {
    await ground.close();
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Ground {
  readonly #redis: RedisServer;
  readonly #client: Redis;
  readonly #monitorFile: string;
  #monitor: Socket | undefined;
  #authority: Child | undefined;
  #api: SessionApi | undefined;
  #metricsAddress = "";
  #slowlog = "";
  #metrics = "";

  constructor(redis: RedisServer, folder: string) {
    this.#redis = redis;
    this.#client = new Redis(redis.url);
    this.#monitorFile = join(folder, "monitor");
  }

  async open(env: Readonly<Record<string, string>>, planted: string | undefined): Promise<void> {
    await this.#startMonitor();
    const address = `127.0.0.1:${await freePort()}`;
    this.#metricsAddress = `127.0.0.1:${await freePort()}`;
    this.#authority = startChild("server/src/main.ts", {
      env: {
        COATCHECK_LISTEN: address,
        COATCHECK_METRICS_LISTEN: this.#metricsAddress,
        COATCHECK_REDIS_URL: this.#redis.url,
        COATCHECK_LOG_LEVEL: "debug",
        ...env,
        PLANTED: planted === undefined ? undefined : withDigest(planted),
      },
      nodeArgs: planted === undefined ? [] : ["--import=./test/leaks/plant.ts"],
    });
    await this.#authority.waitForLine(/listens on/);
    this.#api = new SessionApi(address);
  }

  async liveUntil(traces: Traces, requests: number): Promise<void> {
    const api = this.#api;
    if (api === undefined) throw new Error("Cannot hunt before open()");
    let index = 0;
    while (traces.requests < requests) {
      const lives = Array.from({ length: CONCURRENCY }, async (_, offset) => {
        await liveOnce(api, traces, index + offset);
      });
      await Promise.all(lives);
      index += CONCURRENCY;
      if (index % SLOWLOG_EVERY < CONCURRENCY) await this.#emptySlowlog();
    }
    await this.#emptySlowlog();
    this.#metrics = (await scrape(this.#metricsAddress)).text;
  }

  /** Leaks a secret where the authority's process does not do it by itself. */
  async plant(traces: Traces, planted: string): Promise<void> {
    const text = withDigest(planted);
    traces.secrets.addToken(planted);
    traces.digests.addText("a digest", tokenDigest(planted));
    traces.answers.push(text);
    await this.#client.client("SETNAME", text);
    await this.#client.set("planted", text);
    await this.#emptySlowlog();
    // What an operator writes into a reason is kept as it is.
    await this.#api?.revokeSubject({ subject: "nobody", reasonAdmin: text });
  }

  async search(traces: Traces): Promise<Place[]> {
    const audit = await this.#readAudit();
    await this.#client.save();
    const authority = this.#authority;
    const cmdline = readFileSync(`/proc/${String(authority?.pid)}/cmdline`);
    const clients = String(await this.#client.client("LIST"));
    await authority?.kill("SIGTERM");
    await this.#stopMonitor();
    const log = `${authority?.stdout ?? ""}${authority?.stderr ?? ""}`;
    const outside: [name: string, bytes: Buffer][] = [
      ["the log", Buffer.from(log)],
      ["the metrics", Buffer.from(this.#metrics)],
      ["answers and errors", Buffer.from(traces.answers.join("\n"))],
      ["the command line", cmdline],
      ["the audit trail", Buffer.from(audit)],
    ];
    const inRedis: [name: string, bytes: Buffer][] = [
      ...this.#redisFiles().map((path): [string, Buffer] => [path, readFileSync(path)]),
      ["SLOWLOG", Buffer.from(this.#slowlog)],
      ["MONITOR", readFileSync(this.#monitorFile)],
      ["CLIENT LIST", Buffer.from(clients)],
    ];
    const place = (name: string, bytes: Buffer, digests: string[] | undefined): Place => ({
      name: name.replace(`${this.#redis.folder}/`, ""),
      bytes: bytes.length,
      secrets: [...traces.secrets.findInBytes(bytes), ...redactions(name, bytes)],
      digests,
    });
    return [
      ...outside.map(([name, bytes]) => place(name, bytes, traces.digests.findInBytes(bytes))),
      ...inRedis.map(([name, bytes]) => place(name, bytes, undefined)),
      // The control: what is looked for would be found, were it there.
      ...inRedis
        .filter(([name]) => /^MONITOR$|^SLOWLOG$|dump\.rdb$|incr\.aof$/.test(name))
        .map(([name, bytes]) => ({
          name: `control: digests in ${name.replace(`${this.#redis.folder}/`, "")}`,
          bytes: bytes.length,
          secrets: [],
          digests: traces.digests.findInBytes(bytes),
        })),
    ];
  }

  async close(): Promise<void> {
    this.#api?.close();
    this.#monitor?.destroy();
    this.#client.disconnect();
    await this.#authority?.kill();
  }

  async #readAudit(): Promise<string> {
    const admin = this.#api?.admin;
    if (admin === undefined) throw new Error("Cannot read the audit trail before open()");
    let text = "";
    let pageToken = "";
    do {
      const request = ListAuditEventsRequest.create({ pageSize: AUDIT_PAGE, pageToken });
      // A Redis that logs every command, on a machine that searches, may be late.
      const page = await eventually(() => invoke(admin.listAuditEvents.bind(admin), request));
      text += page.events.map((event) => printed(event)).join("\n");
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return text;
  }

  async #startMonitor(): Promise<void> {
    const monitor = connect(this.#redis.port, "127.0.0.1");
    this.#monitor = monitor;
    const file = createWriteStream(this.#monitorFile);
    monitor.on("error", () => undefined);
    monitor.pipe(file);
    monitor.write("MONITOR\r\n");
    await new Promise((resolve) => monitor.once("data", resolve));
  }

  async #stopMonitor(): Promise<void> {
    const monitor = this.#monitor;
    if (monitor === undefined || monitor.destroyed) return;
    await new Promise<void>((resolve) => {
      monitor.once("close", () => {
        resolve();
      });
      monitor.end("QUIT\r\n");
    });
  }

  async #emptySlowlog(): Promise<void> {
    this.#slowlog += JSON.stringify(await this.#client.slowlog("GET", -1));
    await this.#client.slowlog("RESET");
  }

  #redisFiles(): string[] {
    return readdirSync(this.#redis.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  }
}

/** A token and its digest in one word, as the name of a connection has to be. */
function withDigest(token: string): string {
  return `${token}-${tokenDigest(token)}`;
}

/** The log has a net that takes out what looks like a token. Nothing may ever fall into it. */
function redactions(name: string, bytes: Buffer): string[] {
  return name === "the log" && bytes.includes("[redacted]") ? ["something was redacted"] : [];
}
