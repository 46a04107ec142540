#!/usr/bin/env node
// The operator's command: `npm run coatcheck -- --help`.

import { runOperator } from "./operator/program.js";

// The gRPC library warns of an address without a name, which is no concern of an operator.
process.noDeprecation = true;
// Whoever reads has seen enough: `coatcheck audit | head`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await runOperator(process.argv.slice(2));
