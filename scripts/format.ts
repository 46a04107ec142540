// `npm run format` writes the one formatting that `npm run check` accepts: of everything, or of
// the paths it is given (`npm run format -- client/src`).

import { parseArgs } from "node:util";

import { runTool } from "./run-tool.js";

const { positionals } = parseArgs({ allowPositionals: true });
const paths = positionals.length === 0 ? ["."] : positionals;

const tools: (readonly [string, ...string[]])[] = [
  ["prettier", "--write", "--log-level=warn", "--ignore-unknown", ...paths],
];
if (positionals.length === 0) tools.push(["buf", "format", "--write", "--path", "proto/coatcheck"]);

for (const [tool, ...args] of tools) {
  const { ok, output } = runTool(tool, args);
  process.stdout.write(output);
  if (!ok) process.exitCode = 1;
}
