import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The repository's root folder, ending in a slash. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What a child is started with besides its entry. */
export interface ChildOptions {
  readonly args?: readonly string[];
  /** Added to this process's environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Flags for node itself, such as `--expose-gc`. */
  readonly nodeArgs?: readonly string[];
}

/** How a process ended: one of the two is null. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();

// A child must not outlive the test process, however that ends short of SIGKILL.
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/**
 * Starts a TypeScript entry (a path from the repository's root) as a process of its own,
 * against the sources of the workspaces. Its pid is the entry's own: no wrapper in between.
 */
export function startChild(entry: string, options: ChildOptions = {}): Child {
  const { args = [], nodeArgs = [] } = options;
  const flags = ["--conditions=@coatcheck/source", "--import=tsx", ...nodeArgs];
  return startProcess(process.execPath, [...flags, entry, ...args], options.env);
}

/** Starts any program in the repository's root, with its output collected. */
export function startProcess(
  command: string,
  args: readonly string[],
  env: ChildOptions["env"] = {},
): Child {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.once("close", () => running.delete(child));
  return new Child(child, `${command} ${args.join(" ")}`);
}

/** A running child process. */
export class Child {
  /** Settles when the process has ended and its output is complete. */
  readonly exited: Promise<ChildExit>;
  #stdout = "";
  #stderr = "";
  #ended = false;
  readonly #process: ChildProcess;
  readonly #title: string;
  readonly #listeners = new Set<() => void>();

  constructor(child: ChildProcess, title: string) {
    this.#process = child;
    this.#title = title;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#notify();
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.exited = new Promise((resolve) => {
      const end = (exit: ChildExit): void => {
        this.#ended = true;
        resolve(exit);
        this.#notify();
      };
      child.once("error", (error) => {
        this.#stderr += error.message;
        end({ code: 127, signal: null });
      });
      child.once("close", (code, signal) => {
        end({ code, signal });
      });
    });
  }

  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error(`Cannot read a pid: ${this.#title} did not start`);
    return pid;
  }

  /** All of standard output so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** All of standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /**
   * Waits for a whole line of standard output that matches, also one already printed, and
   * returns the match. Rejects when the process ends or `timeoutMs` passes first.
   */
  async waitForLine(pattern: RegExp, timeoutMs = 15_000): Promise<RegExpExecArray> {
    return await new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
      };
      const look = (): void => {
        const match = this.#match(pattern);
        if (match !== undefined) resolve(match);
        else if (this.#ended) reject(this.#failure(`ended before it printed ${String(pattern)}`));
        else return;
        stop();
      };
      const timer = setTimeout(() => {
        stop();
        reject(this.#failure(`did not print ${String(pattern)} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** Sends a signal and waits for the end. SIGKILL, the default, is `kill -9`. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<ChildExit> {
    this.#process.kill(signal);
    return await this.exited;
  }

  /** Freezes the process (SIGSTOP): its sockets stay open, nothing in it runs. */
  pause(): void {
    this.#process.kill("SIGSTOP");
  }

  /** Lets a frozen process go on (SIGCONT). */
  resume(): void {
    this.#process.kill("SIGCONT");
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    for (const line of this.#stdout.split("\n").slice(0, this.#ended ? undefined : -1)) {
      // A global or sticky pattern would remember where it stopped.
      const match = new RegExp(pattern.source, pattern.flags.replaceAll(/[gy]/g, "")).exec(line);
      if (match !== null) return match;
    }
    return undefined;
  }

  #failure(what: string): Error {
    return new Error(`${this.#title} ${what}\n${this.#stdout}\n${this.#stderr}`);
  }
}
