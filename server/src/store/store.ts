import type { AuditTrail } from "./audit-trail.js";
import type { SetIncidentCommand, SetIncidentResult } from "./incident.js";
import type { RevocationLog } from "./revocation-log.js";
import type { SessionStore } from "./session-store.js";
import type { MeterCommand, PartitionSize, StoreCondition } from "./store-measure.js";

/** A session store with its revocation log and its life-cycle. */
export interface Store {
  readonly kind: "memory" | "redis";
  readonly sessions: SessionStore;
  readonly log: RevocationLog;
  readonly audit: AuditTrail;
  /** Tightens one partition for a time, or ends that; each pull of it tells. */
  setIncident(command: SetIncidentCommand): Promise<SetIncidentResult>;
  /** Starts connecting. Resolves at once where the store is away: calls then fail until it is back. */
  start(): Promise<void>;
  /** Identifies the data, so that positions of another deployment are refused. */
  deploymentId(): Promise<string>;
  /** How the store is now. */
  condition(): StoreCondition;
  /** How much each partition holds. One that does not answer in time is missing. */
  measure(): Promise<readonly PartitionSize[]>;
  /** Ends every connection; calls in flight fail. */
  close(): Promise<void>;
}

/** What both stores are told. Every limit has its reason in `config.ts`. */
export interface StoreOptions {
  /** The staleness bound L in ms; `head.lmax` is raised to it before anything is granted. */
  readonly maxStalenessMs: number;
  /** Events kept in each partition. */
  readonly logRetention: number;
  /** Told of each command to a store outside the process. */
  readonly meter?: MeterCommand;
  /** Audit entries kept in each stream of each partition. @default AUDIT_LENGTH */
  readonly auditLength?: number;
  /** How long audit entries are kept, in ms. @default AUDIT_RETENTION_MS */
  readonly auditRetentionMs?: number;
}
