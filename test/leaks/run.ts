// `npm run test:leaks`: the hunt of test/redis/leaks.redis.test.ts with 100,000 requests, a
// smaller one with everything that grpc-js can trace, and the heap of a service.
//
//   npm run test:leaks -- 20000     with another number of requests

import { searchHeap } from "./heap.js";
import { hunt, type Quarry } from "./hunt.js";

const REQUESTS = 100_000;
const TRACED_REQUESTS = 1_000;

let leaks = 0;

function show(title: string, quarry: Quarry): void {
  const { requests, failures, secrets, places } = quarry;
  print(`${title}: ${requests} requests, ${failures} of them refused, ${secrets} secrets`);
  for (const { name, bytes, secrets: found, digests } of places) {
    const isControl = name.startsWith("control");
    const seen = digests === undefined ? "" : `, ${digests.length} digests`;
    print(`  ${name}: ${(bytes / 1e6).toFixed(2)} MB, ${found.length} secrets${seen}`);
    const isBad = isControl
      ? digests?.length === 0
      : found.length + (digests?.length ?? 0) > 0 || bytes === 0;
    if (isBad) {
      leaks += 1;
      print(`  LEAK, or nothing to search: ${[...found, ...(digests ?? [])].join("\n    ")}`);
    }
  }
}

const requests = Number(process.argv[2] ?? REQUESTS);
show("The hunt", await hunt({ requests }));
show(
  "The hunt with GRPC_TRACE=all",
  await hunt({
    requests: TRACED_REQUESTS,
    // It traces metadata, where a token has no business: see server/README.md.
    hasTokenInMetadata: false,
    env: { GRPC_TRACE: "all", GRPC_VERBOSITY: "DEBUG" },
  }),
);

const heap = await searchHeap({ sessions: 1_000, validations: 10_000 });
print(
  `The heap of a service after 10,000 validations: ${(heap.bytes / 1e6).toFixed(2)} MB, ` +
    `${heap.secrets.length} secrets, ${heap.sessionIds} session ids, ${heap.hits} answers from it`,
);
if (heap.secrets.length > 0 || heap.sessionIds === 0) leaks += 1;

print(leaks === 0 ? "No leak" : `${leaks} places with a leak`);
process.exitCode = leaks === 0 ? 0 : 1;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
