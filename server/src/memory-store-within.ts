import type { Limits } from "./configuration/limits.js";
import {
  createMemoryStore,
  type MemoryStore,
  type MemoryStoreOptions,
} from "./store/memory/memory-store.js";

/** How a memory store is made that keeps to the limits of the configuration. */
export function memoryStoreWithin({
  memorySessionsMax: sessionsMax,
  memoryRequestsMax: requestsMax,
}: Limits): (options: MemoryStoreOptions) => MemoryStore {
  return (options) => createMemoryStore({ sessionsMax, requestsMax, ...options });
}
