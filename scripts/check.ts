// `npm run check`: everything static, one line per step. A failing step prints what its tool
// said and the others still run, so that one run shows everything there is to mend.
// `npm run check -- --report <file>` also writes {"passed": n, "failed": n} for CI.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { BASELINE, GENERATED, generateInto } from "./contract.js";
import { ROOT, runTool, type ToolResult } from "./run-tool.js";

interface Step {
  readonly name: string;
  readonly run: () => ToolResult;
}

const STEPS: readonly Step[] = [
  { name: "generated code is current", run: generatedIsCurrent },
  tool("buf lint", "buf", "lint"),
  { name: "buf breaking", run: breaking },
  tool("buf format", "buf", "format", "--diff", "--exit-code", "--path", "proto/coatcheck"),
  tool("types", "tsc", "--build"),
  tool("eslint", "eslint", "--max-warnings=0", "."),
  tool("prettier", "prettier", "--check", "--log-level=warn", "."),
  tool("publint proto", "publint", "--strict", "proto"),
  // The descriptors are data: there are no types to look for.
  attw("proto", "--exclude-entrypoints", "descriptors.binpb"),
  tool("publint client", "publint", "--strict", "client"),
  attw("client"),
];

main();

function main(): void {
  const { values } = parseArgs({ options: { report: { type: "string" } } });
  const failed = STEPS.filter((step) => !report(step)).length;
  const passed = STEPS.length - failed;
  console.log(`\n${passed} passed, ${failed} failed`);
  if (values.report !== undefined) {
    writeFileSync(values.report, JSON.stringify({ passed, failed }));
  }
  process.exitCode = failed === 0 ? 0 : 1;
}

function report(step: Step): boolean {
  const startedAtMs = performance.now();
  const { ok, output } = step.run();
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  console.log(`${ok ? "ok  " : "FAIL"}  ${step.name.padEnd(28)} ${seconds.padStart(5)} s`);
  if (!ok) console.log(output.replaceAll(/^/gm, "      "));
  return ok;
}

function tool(name: string, command: string, ...args: readonly string[]): Step {
  return { name, run: () => runTool(command, args) };
}

function attw(workspace: string, ...args: readonly string[]): Step {
  const options = ["--pack", workspace, "--profile", "esm-only", "--no-color", "--no-emoji"];
  return tool(`attw ${workspace}`, "attw", ...options, ...args);
}

function breaking(): ToolResult {
  if (!existsSync(join(ROOT, BASELINE))) {
    return {
      ok: false,
      output: `There is no ${BASELINE}: npm run generate -- --baseline makes it`,
    };
  }
  return runTool("buf", ["breaking", "--against", BASELINE]);
}

/** Generates into a temporary folder and compares: no git needed, and a dirty tree is fine. */
function generatedIsCurrent(): ToolResult {
  const folder = mkdtempSync(join(tmpdir(), "coatcheck-generate-"));
  try {
    const failure = generateInto(folder);
    if (failure !== undefined) return { ok: false, output: failure };
    const stale = GENERATED.flatMap((path) => differences(path, folder));
    const advice = "These differ from what the .proto files give; npm run generate writes them";
    return { ok: stale.length === 0, output: [advice, ...stale].join("\n") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function differences(path: string, folder: string): string[] {
  const files = new Set([...filesUnder(ROOT, path), ...filesUnder(folder, path)]);
  return [...files].filter((file) => !sameBytes(join(ROOT, file), join(folder, file))).sort();
}

function filesUnder(root: string, path: string): string[] {
  const absolute = join(root, path);
  if (!existsSync(absolute)) return [];
  if (path.endsWith(".binpb")) return [path];
  return readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(path, entry.parentPath.slice(absolute.length), entry.name));
}

function sameBytes(left: string, right: string): boolean {
  return existsSync(left) && existsSync(right) && readFileSync(left).equals(readFileSync(right));
}
