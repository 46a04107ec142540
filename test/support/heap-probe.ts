/*
 * Validates many tokens, then searches its own heap for them: `address count`.
 * One is kept on purpose, so that a search that finds nothing proves something.
 * Ends by itself once the client is closed: nothing may hold it.
 */
import { argv, stdout } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { getHeapSnapshot } from "node:v8";

import { createService } from "./services.js";

const TOKEN = /cc1_0[0-9a-f][0-9A-Za-z]{71}/g;
/** The longest match: a token that two chunks share is in the second one's head. */
const OVERLAP = 80;

const [, , address = "", count = "0"] = argv;
const service = createService(address);
await service.ready();
const kept = (await service.create({ subject: "kept" })).token.reveal();
await validateMany(Number(count));
await service.validate(kept);
// What was sent last is still in buffers of the transport; it goes with what is sent next.
await sleep(100);
global.gc?.();
const { entries } = service.status();
const found = await tokensInHeap();
stdout.write(`${JSON.stringify({ entries, found: found.size, keepsOwn: found.has(kept) })}\n`);
await service.close();

async function validateMany(sessions: number): Promise<void> {
  for (let index = 0; index < sessions; index += 1) {
    const { token } = await service.create({ subject: `user-${index}` });
    const text = token.reveal();
    for (let uses = 0; uses < 10; uses += 1) await service.validate(text);
    service.peek(text);
    if (index % 10 === 0) await service.rotate(token, { trigger: "login" });
    if (index % 10 === 1) await service.revoke({ token });
    if (index % 10 === 2) service.follow(token).close();
  }
}

async function tokensInHeap(): Promise<ReadonlySet<string>> {
  const tokens = new Set<string>();
  let tail = "";
  for await (const chunk of getHeapSnapshot()) {
    const text = tail + String(chunk);
    for (const [token] of text.matchAll(TOKEN)) tokens.add(token);
    tail = text.slice(-OVERLAP);
  }
  return tokens;
}
