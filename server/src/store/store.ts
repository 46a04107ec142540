import type { RevocationLog } from "./revocation-log.js";
import type { SessionStore } from "./session-store.js";

/** A session store with its revocation log and its life-cycle. */
export interface Store {
  readonly kind: "memory" | "redis";
  readonly sessions: SessionStore;
  readonly log: RevocationLog;
  /** Starts connecting. Resolves at once where the store is away: calls then fail until it is back. */
  start(): Promise<void>;
  /** Identifies the data, so that positions of another deployment are refused. */
  deploymentId(): Promise<string>;
  /** Ends every connection; calls in flight fail. */
  close(): Promise<void>;
}

/** What both stores are told. Every limit has its reason in `config.ts`. */
export interface StoreOptions {
  /** The staleness bound L in ms; `head.lmax` is raised to it before anything is granted. */
  readonly maxStalenessMs: number;
  /** Events kept in each partition. */
  readonly logRetention: number;
}
