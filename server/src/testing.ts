import { type Authority, type AuthorityOptions, createAuthority } from "./server.js";

export type { Authority, AuthorityOptions } from "./server.js";

/**
 * An authority for other teams' tests: the real server on a free port of this
 * machine, over the memory store, so with the same semantics as in production and
 * nothing left behind. Close it, or `await using` it.
 */
export interface TestAuthority extends Authority, AsyncDisposable {}

/** Starts a `TestAuthority`. It is ready when the promise resolves. */
export async function startTestAuthority(
  options: Omit<AuthorityOptions, "createStore" | "dangerousPlaintext" | "listen"> = {},
): Promise<TestAuthority> {
  const authority = await createAuthority({ drainReconnectMs: 100, ...options });
  return {
    address: authority.address,
    port: authority.port,
    metricsAddress: authority.metricsAddress,
    get isReady() {
      return authority.isReady;
    },
    get hasCallers() {
      return authority.hasCallers;
    },
    reload: () => {
      authority.reload();
    },
    deploymentId: () => authority.deploymentId(),
    stats: () => authority.stats(),
    drain: () => authority.drain(),
    close: () => authority.close(),
    [Symbol.asyncDispose]: () => authority.close(),
  };
}
