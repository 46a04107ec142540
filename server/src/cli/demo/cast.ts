import { fork, type ChildProcess } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

import { environmentWith } from "../../config.js";
import type { AnswerMessage, CallMessage, CallName, ServiceCalls } from "./messages.js";

/** A process of the demo. Killing it twice does nothing. */
export interface Actor {
  readonly pid: number;
  kill(): void;
}

/** A service process and the questions it answers. */
export interface Service extends Actor {
  readonly name: string;
  ask<Name extends CallName>(
    name: Name,
    ask: ServiceCalls[Name]["ask"],
  ): Promise<ServiceCalls[Name]["answer"]>;
}

/** Where a service finds the authority: calls and Sync at one place, the stream at another. */
export interface ServiceTargets {
  readonly target: string;
  readonly watchTarget: string;
}

// The demo runs from the sources and from the build; its processes run from the same one.
const EXTENSION = extname(fileURLToPath(import.meta.url));
const EXEC_ARGV =
  EXTENSION === ".ts" ? ["--conditions=@coatcheck/source", "--import=tsx"] : process.execArgv;

/** What the demo's keys begin with, so that in a shared Redis it meets nobody's sessions. */
export const DEMO_NAMESPACE = "coatcheck-demo:";

/** The authority's process. `ended` rejects when it ends, and settles in no other way. */
export interface AuthorityProcess extends Actor {
  readonly ended: Promise<never>;
}

/**
 * Starts the authority on `port`. It takes its store from the environment, as `npm start` does;
 * in a Redis it keeps to keys of its own.
 */
export function startAuthority(port: number): AuthorityProcess {
  const entry = new URL(`authority${EXTENSION}`, import.meta.url);
  const child = fork(fileURLToPath(entry), [], {
    env: environmentWith({
      COATCHECK_LISTEN: `127.0.0.1:${String(port)}`,
      COATCHECK_NAMESPACE: DEMO_NAMESPACE,
      COATCHECK_LOG_LEVEL: "warn",
    }),
    execArgv: EXEC_ARGV,
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  return { ...actor(child), ended: endOf(child, "authority") };
}

/** Starts a service and resolves once its SDK is ready. */
export async function startService(name: string, targets: ServiceTargets): Promise<Service> {
  const entry = new URL(`service${EXTENSION}`, import.meta.url);
  const child = fork(fileURLToPath(entry), [name, targets.target, targets.watchTarget], {
    execArgv: EXEC_ARGV,
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const waiting = new Map<number, (message: AnswerMessage) => void>();
  const ended = endOf(child, `service "${name}"`);
  child.on("message", (message: AnswerMessage) => waiting.get(message.id)?.(message));
  let lastId = 0;
  function reply(id: number): Promise<AnswerMessage> {
    return Promise.race([
      new Promise<AnswerMessage>((resolve) => {
        waiting.set(id, resolve);
      }),
      ended,
    ]).finally(() => waiting.delete(id));
  }

  await reply(0);
  return {
    ...actor(child),
    name,
    ask: async (callName, ask) => {
      lastId += 1;
      const answered = reply(lastId);
      child.send({ id: lastId, name: callName, ask } satisfies CallMessage);
      const { answer, problem } = await answered;
      if (problem !== undefined) {
        throw new Error(`the service "${name}" says: ${problem}`);
      }
      return answer as ServiceCalls[typeof callName]["answer"];
    },
  };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

function endOf(child: ChildProcess, title: string): Promise<never> {
  const ended = new Promise<never>((_resolve, reject) => {
    child.once("exit", (code, signal) => {
      reject(new Error(`the ${title} ended with ${signal ?? `exit code ${String(code)}`}`));
    });
  });
  // Whoever waits is told; where nobody does, it is no error.
  ended.catch(() => undefined);
  return ended;
}

function actor(child: ChildProcess): Actor {
  return {
    pid: child.pid ?? 0,
    kill: () => {
      child.kill("SIGKILL");
    },
  };
}
