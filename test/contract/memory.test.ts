import { systemClock } from "#server/base/clock.js";
import { createMemoryStore } from "#server/store/memory/memory-store.js";

import type { CreateHarness } from "./harness.js";
import { describeRevocationLog } from "./revocation-log.contract.js";
import { describeSessionStore } from "./session-store.contract.js";

const createHarness: CreateHarness = async function createHarness(options) {
  const store = createMemoryStore({
    clock: systemClock,
    maxStalenessMs: 3_000,
    logRetention: 10_000,
    reapIntervalMs: 0,
    ...options,
  });
  await store.start();
  return {
    store,
    setNow: async (partition, nowMs) => {
      store.control.setNow(partition, nowMs);
      await Promise.resolve();
    },
    openGeneration: async (partition, change) => {
      store.control.openGeneration(partition, change);
      await Promise.resolve();
    },
    close: async () => {
      await store.close();
    },
  };
};

describeSessionStore("memory", createHarness);
describeRevocationLog("memory", createHarness);
