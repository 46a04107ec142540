import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startProcess, type Child } from "./child.js";
import { eventually } from "./eventually.js";
import { freePort } from "./free-port.js";

/** What a private Redis is started with. */
export interface RedisServerOptions {
  /** Directives as in redis.conf, over the defaults: `{ appendonly: "yes" }`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** As production has it, but nothing on disk unless a test asks. */
const DEFAULT_CONFIG = {
  bind: "127.0.0.1",
  save: "",
  appendonly: "no",
  "maxmemory-policy": "noeviction",
  "hash-max-listpack-value": "1024",
};

const START_ATTEMPTS_MAX = 5;

/** Starts a private `redis-server` on a free port, with a folder of its own. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), "coatcheck-redis-"));
  for (let attempt = 1; ; attempt += 1) {
    const server = new RedisServer({ port: await freePort(), folder, ...options });
    try {
      await server.start();
      return server;
    } catch (error) {
      // Somebody else may have taken the port in between.
      if (attempt < START_ATTEMPTS_MAX && server.output.includes("Address already in use"))
        continue;
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

/** One `redis-server` process, which can be ended and started again where it was. */
export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #config: Readonly<Record<string, string>>;
  #child: Child | undefined;

  constructor({
    port,
    folder,
    config = {},
  }: RedisServerOptions & { port: number; folder: string }) {
    this.port = port;
    this.folder = folder;
    this.#config = { ...DEFAULT_CONFIG, ...config, port: String(port), dir: folder };
  }

  get url(): string {
    const password = this.#config["requirepass"];
    return `redis://${password === undefined ? "" : `:${password}@`}127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** What the last process printed. */
  get output(): string {
    return this.#child === undefined ? "" : this.#child.stdout + this.#child.stderr;
  }

  /** Starts the process, also again after `kill`, and waits until it answers. */
  async start(): Promise<void> {
    const directives = Object.entries(this.#config).flatMap(([name, value]) => [
      `--${name}`,
      value,
    ]);
    const child = startProcess("redis-server", directives);
    this.#child = child;
    const ended = child.exited.then(() => {
      throw new Error(`Cannot start redis-server on port ${this.port}: ${this.output}`);
    });
    // It ends one day; only while we wait for the start is that a failure.
    ended.catch(() => undefined);
    const answers = eventually(async () => await answersPing(this.port), { timeoutMs: 15_000 });
    await Promise.race([answers, ended]).finally(() => {
      answers.catch(() => undefined);
    });
  }

  /** Ends it with SIGTERM, as an operator does: what is persistent is saved. The folder stays. */
  async shutdown(): Promise<void> {
    await this.#running.kill("SIGTERM");
  }

  /** `kill -9`. The folder stays. */
  async kill(): Promise<void> {
    await this.#running.kill("SIGKILL");
  }

  /** `kill -9`, then a start on the same port and folder. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** Freezes it: connections stay open and nothing is answered. */
  pause(): void {
    this.#running.pause();
  }

  /** Lets a frozen one go on. */
  resume(): void {
    this.#running.resume();
  }

  /** Ends it for good and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #running(): Child {
    if (this.#child === undefined) throw new Error("Cannot use redis-server before start()");
    return this.#child;
  }
}

/** Whether a Redis there is done loading. One that asks for a password is. */
async function answersPing(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once("data", (reply) => {
      resolve(/^(\+PONG|-NOAUTH)/.test(reply.toString()));
      socket.destroy();
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      resolve(false);
    });
  });
}
