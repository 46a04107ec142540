/*
 * Revokes a session from a process of its own: `address session-id delay-ms`. It
 * says `ready` first and the session's id once it has been revoked.
 */
import { argv, stdout } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

import { createService } from "./services.js";

const [, , address = "", sessionId = "", delayMs = "0"] = argv;
const service = createService(address);
await service.get(sessionId);
stdout.write("ready\n");
await sleep(Number(delayMs));
await service.revoke({ sessionId });
stdout.write(`revoked ${sessionId}\n`);
await service.close();
