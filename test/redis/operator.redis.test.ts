// The admin service, the audit trail and the operator's command on Redis.

import { randomUUID } from "node:crypto";

import { inject } from "vitest";

import { createRedisStore } from "#server/store/redis/redis-store.js";

import { storeUnderTest } from "../support/wrapped-store.js";

const url = inject("redisUrl");
// Each authority has data of its own: an audit trail is of a whole deployment.
storeUnderTest.create = (options) =>
  createRedisStore({ ...options, url, namespace: `op-${randomUUID().slice(0, 8)}:` });

await import("../rpc/admin.test.js");
await import("../rpc/audit.test.js");
await import("../rpc/denied-calls.test.js");
await import("../rpc/incident.test.js");
await import("../rpc/operator.test.js");
await import("../rpc/operator-watch.test.js");
