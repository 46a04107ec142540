// A service that validates tokens, in a process of its own, for `heap.ts`.
//
// It is given its tokens in a disguise, so that none is in its memory but where the SDK
// or this file puts it, and this file lets go of each at once.

import { readFileSync } from "node:fs";
import { setFlagsFromString, writeHeapSnapshot } from "node:v8";
import { runInNewContext } from "node:vm";

import { createSessionClient } from "@coatcheck/client";

const [address = "", tokensFile = "", snapshotFile = "", validations = "0", isPlanted] =
  process.argv.slice(2);
const TOKEN_BYTES = 77;

const disguised = readFileSync(tokensFile);
const tokens = disguised.length / TOKEN_BYTES;

const sessions = createSessionClient({
  target: address,
  credentials: "plaintext",
  tenantId: "acme",
  clientName: "heap",
});
await sessions.ready();

const kinds = new Map<string, number>();
for (let index = 0; index < Number(validations); index += 1) {
  const kind = await validateOne(index % tokens);
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
}
if (isPlanted === "planted") Object.assign(globalThis, { planted: reveal(0) });
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
// What a promise or a socket of the last call held goes in a later turn.
for (let turn = 0; turn < 5; turn += 1) {
  await new Promise((resolve) => setImmediate(resolve));
  collect();
}
writeHeapSnapshot(snapshotFile);
const { counters, entries } = sessions.status();
process.stdout.write(
  `${JSON.stringify({ kinds: Object.fromEntries(kinds), hits: counters.hits, entries })}\n`,
);
await sessions.close();

async function validateOne(at: number): Promise<string> {
  const answer = await sessions.validate(reveal(at));
  return answer.kind === "invalid" ? answer.outcome : answer.kind;
}

/** Each bit is turned over in the file. */
function reveal(at: number): string {
  const bytes = disguised.subarray(at * TOKEN_BYTES, (at + 1) * TOKEN_BYTES);
  return Buffer.from(bytes.map((byte) => byte ^ 0xff)).toString("latin1");
}
