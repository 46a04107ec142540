import type { AuditOrigin } from "./audit-trail.js";

/** A deployment tightened for a time, as the store keeps it. */
export interface IncidentMode {
  /** The staleness bound that is granted, in ms; undefined: as configured. */
  readonly maxStalenessMs: number | undefined;
  /** Whether nothing may be kept, and what is kept may not be used. */
  readonly stopCaching: boolean;
  /** Whether no session may be created. */
  readonly stopCreating: boolean;
  /** Milliseconds until it ends by itself. */
  readonly leftMs: number;
}

/** Sets the mode in one partition; replicas find it with their pulls. */
export interface SetIncidentCommand extends Omit<IncidentMode, "leftMs"> {
  readonly partition: number;
  /** 0 ends the mode. */
  readonly lastsMs: number;
  /**
   * Of two calls at a time the one of the higher rank holds, in every partition: one
   * that has it already is not set. See `leads`.
   */
  readonly rank: number;
  /** Whether this partition ranks the call, above all it has seen and at least at `rank`. */
  readonly leads: boolean;
  readonly eventId: string;
  /** Given for one partition: what concerns the deployment is in the trail once. */
  readonly audit: AuditOrigin | undefined;
  /** What the trail says of it. */
  readonly reasonAdmin: string;
}

/** The mode of the partition as it is now: this call's, or that of a higher rank. */
export interface SetIncidentResult {
  /** By the store's clock; undefined where no mode is running. */
  readonly endsAtMs: number | undefined;
  readonly rank: number;
  /** The largest staleness bound ever granted, in ms. */
  readonly leaseMaxMs: number;
}
