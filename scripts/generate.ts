// `npm run generate` writes what is made from the .proto files: the TypeScript in
// proto/src/gen and the descriptors that reflection and load generators read.
// `npm run generate -- --baseline` also renews what `buf breaking` compares with; until 1.0
// that needs a line in CHANGELOG.md.

import { parseArgs } from "node:util";

import { generateInto, writeBaseline } from "./contract.js";

const { values } = parseArgs({ options: { baseline: { type: "boolean" } } });

const failures = [generateInto("."), ...(values.baseline === true ? [writeBaseline()] : [])].filter(
  (failure) => failure !== undefined,
);

for (const failure of failures) process.stderr.write(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
