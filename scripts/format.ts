// `npm run format` writes the one formatting that `npm run check` accepts.

import { runTool } from "./run-tool.js";

for (const [tool, ...args] of [
  ["prettier", "--write", "--log-level=warn", "."],
  ["buf", "format", "--write", "--path", "proto/coatcheck"],
] as const) {
  const { ok, output } = runTool(tool, args);
  process.stdout.write(output);
  if (!ok) process.exitCode = 1;
}
