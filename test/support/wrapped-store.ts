import type { AuthorityOptions } from "#server/server.js";
import { createMemoryStore } from "#server/store/memory/memory-store.js";
import type { SessionStore } from "#server/store/session-store.js";
import type { Store } from "#server/store/store.js";

type Method = keyof SessionStore;

/** What stands between the handlers and a real store: every call may be counted, delayed or failed. */
export interface Intercept {
  /** Runs before the store; what it throws is what the handler sees, and the store is not asked. */
  before?: ((method: Method) => void | Promise<void>) | undefined;
  /** Runs after the store answered: the effect has happened, and what it throws hides that. */
  after?: ((method: Method) => void | Promise<void>) | undefined;
}

type CreateStore = NonNullable<AuthorityOptions["createStore"]>;

/**
 * The store that the tests of test/rpc use. `test/redis/rpc.redis.test.ts` runs the
 * same files with another one.
 */
export const storeUnderTest: { create: CreateStore } = { create: createMemoryStore };

/** A store whose session methods go through `intercept`. */
export function wrappedStore(intercept: Intercept): CreateStore {
  return (options) => {
    const store = storeUnderTest.create(options);
    return {
      kind: store.kind,
      sessions: wrap(store.sessions, intercept),
      log: store.log,
      audit: store.audit,
      setIncident: (command) => store.setIncident(command),
      start: () => store.start(),
      deploymentId: () => store.deploymentId(),
      condition: () => store.condition(),
      measure: () => store.measure(),
      close: () => store.close(),
    } satisfies Store;
  };
}

function wrap(sessions: SessionStore, intercept: Intercept): SessionStore {
  return new Proxy(sessions, {
    get(target, name) {
      const method = name as Method;
      const real = target[method].bind(target) as (...parts: unknown[]) => Promise<unknown>;
      return async (...parts: unknown[]) => {
        await intercept.before?.(method);
        const answer = await real(...parts);
        await intercept.after?.(method);
        return answer;
      };
    },
  });
}
