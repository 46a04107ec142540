import type { SessionAuthorityError } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { Randomness } from "../base/random.js";
import type { Changes } from "../cache/log-follower.js";
import type { ValidationCache } from "../cache/validation-cache.js";
import type { FollowCall, Transport } from "../transport/transport.js";

/** Where this library reports what an operator may want to know. Never a token or a digest. */
export interface Logger {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** How often what happened, for `status` and metrics. */
export interface FreshnessCounters {
  syncs: number;
  syncFailures: number;
  streamsOpened: number;
  streamsEnded: number;
  resets: Record<string, number>;
}

/** What Sync and the stream share. */
export interface FollowingContext {
  readonly transport: Transport;
  readonly cache: ValidationCache;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly logger: Logger | undefined;
  readonly counters: FreshnessCounters;
  /** Who asks and from where; the position and its deployment. */
  followCall(): FollowCall;
  /** The staleness bound as it is known now, in ms. */
  boundMs(): number;
  /** Learns the bound of the deployment. */
  learnBound(maxStalenessMs: number): void;
  /** Says false, and starts over, where the deployment is not the one the position is of. */
  meetDeployment(deploymentId: string): boolean;
  /** The authority does not accept the position. */
  startOver(cause: string): void;
  /** Tells whoever wants to know what changed. */
  report(changes: Changes): void;
}

/** Stale answers to report with the next Sync. */
export interface StaleReport {
  readonly isAllowed: boolean;
  readonly accepts: number;
}

/** Whether the authority will never accept the position: asking again with it is an endless loop. */
export function isPositionRefused(error: SessionAuthorityError): boolean {
  return error.reason === "wrong-deployment" || error.reason === "invalid-field";
}
