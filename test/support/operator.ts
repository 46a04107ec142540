import { type ChildExit, startChild } from "./child.js";

/** What one run of the operator's command did. */
export interface OperatorRun extends ChildExit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `coatcheck` as an operator does, in a process of its own. */
export async function runOperator(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<OperatorRun> {
  const child = startChild("server/src/cli/coatcheck.ts", { args, env });
  const exit = await child.exited;
  return { ...exit, stdout: child.stdout, stderr: child.stderr };
}
