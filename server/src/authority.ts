import type { Clock } from "./base/clock.js";
import type { Log } from "./base/log.js";
import type { ListenAddress } from "./config.js";
import type { LimitOverrides } from "./configuration/limits.js";
import type { ConnectionLimits } from "./limits.js";
import type { PolicyOverrides } from "./configuration/policies.js";
import type { AuthorityStats } from "./rpc/admin-service.js";
import type { Store, StoreOptions } from "./store/store.js";
import type { TlsFiles } from "./transport/certificate-files.js";
import type { WatchOptions } from "./watch/watch-options.js";

/** How an authority is built. Everything has a default that is safe on one machine. */
export interface AuthorityOptions {
  /** @default 127.0.0.1 and any free port */
  readonly listen?: ListenAddress;
  /** Where sessions are kept. @default a new memory store */
  readonly createStore?: (options: StoreOptions & { readonly clock: Clock }) => Store;
  /** Named policies; what one leaves out is DESIGN §9's default. "default" may be changed. */
  readonly policies?: PolicyOverrides;
  /** The staleness bound L, in ms. @default 3000 */
  readonly maxStalenessMs?: number;
  /** Whether schemas are served. @default false */
  readonly reflection?: boolean;
  /** Certificates. Without them the authority speaks plaintext. */
  readonly tls?: TlsFiles | undefined;
  /** The configuration file; it decides about policies where it is given. */
  readonly configurationPath?: string | undefined;
  /** Whether another address than loopback may be served without TLS. @default false */
  readonly dangerousPlaintext?: boolean;
  /** The clock of the store and the watch; deadlines of calls are the system's. */
  readonly clock?: Clock;
  readonly log?: Log;
  /** Where metrics are served, in the text format of Prometheus. @default nowhere */
  readonly metricsListen?: ListenAddress | undefined;
  /** Limits of the watch, for tests that need small ones. */
  readonly watch?: Partial<WatchOptions>;
  /** Limits; they come before those of the configuration file. */
  readonly limits?: LimitOverrides;
  /** When connections end, for tests that cannot wait for it. */
  readonly connections?: ConnectionLimits;
  /** The window over which watchers reconnect when the replica drains, in ms. @default 5000 */
  readonly drainReconnectMs?: number;
}

/** A running authority. */
export interface Authority {
  /** `host:port` as a gRPC target. */
  readonly address: string;
  readonly port: number;
  /** `host:port` of the metrics; undefined where none are served. */
  readonly metricsAddress: string | undefined;
  /** Identifies the data of the store. Rejects while the store has never been reached. */
  deploymentId(): Promise<string>;
  /** Whether the store answers, which is what the health service says. */
  readonly isReady: boolean;
  /** Whether callers are told apart. Where not, every local caller may do everything. */
  readonly hasCallers: boolean;
  /** Reads certificates and configuration again. What cannot be used changes nothing. */
  reload(): void;
  stats(): AuthorityStats;
  /** Stops gracefully, in at most 25 s. Calling it twice waits for the first. */
  drain(): Promise<void>;
  /** Stops at once: streams are ended, calls in flight fail. */
  close(): Promise<void>;
}
