import { inject } from "vitest";

import { createRedisHarness } from "../support/redis-harness.js";
import type { CreateHarness } from "./harness.js";
import { describeRevocationLog } from "./revocation-log.contract.js";
import { describeSessionStore } from "./session-store.contract.js";

// With Pub/Sub: the contract has facts on nudges.
const createHarness: CreateHarness = async function createHarness(options) {
  return await createRedisHarness(inject("redisUrl"), { pubSub: true, ...options });
};

describeSessionStore("redis", createHarness);
describeRevocationLog("redis", createHarness);
