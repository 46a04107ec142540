import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The repository's root folder, ending in a slash. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** How a tool ended, and everything it printed. */
export interface ToolResult {
  readonly ok: boolean;
  readonly output: string;
}

/** Runs an installed tool in the repository's root (or `cwd`) and waits for its end. */
export function runTool(tool: string, args: readonly string[], cwd = ROOT): ToolResult {
  const bin = realpathSync(`${ROOT}node_modules/.bin/${tool}`);
  // buf links to a Node wrapper as the others do, so node runs them all.
  const run = spawnSync(process.execPath, [bin, ...args], {
    cwd,
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
  });
  const failure = run.error === undefined ? "" : `${run.error.message}\n`;
  return { ok: run.status === 0, output: failure + run.stdout + run.stderr };
}
