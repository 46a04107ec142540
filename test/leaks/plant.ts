// Loaded into an authority before anything else: leaks a secret wherever a process can, so that
// the hunt is seen to find it.

import { ServerResponse } from "node:http";

const planted = process.env["PLANTED"] ?? "";

process.title = planted;
process.stderr.write(`${planted}\n`);

const end = Reflect.get(ServerResponse.prototype, "end") as (text?: unknown) => ServerResponse;

Reflect.set(
  ServerResponse.prototype,
  "end",
  function leak(this: ServerResponse, text?: unknown): ServerResponse {
    return end.call(this, typeof text === "string" ? `${text}# ${planted}\n` : text);
  },
);
