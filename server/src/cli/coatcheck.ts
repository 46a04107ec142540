#!/usr/bin/env node
// The operator's command: `npm run coatcheck -- --help`.

import { runOperator } from "./operator/program.js";

process.exitCode = await runOperator(process.argv.slice(2));
