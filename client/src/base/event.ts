import type { Revision, RevisionRange } from "./revision.js";
import type { InitiatingEntity, RevocationReason, RotationTrigger } from "./session.js";

/** What an event happened to. Everything but one session is a cutoff. */
export type EventTarget =
  | { readonly kind: "session"; readonly sessionId: string }
  | { readonly kind: "subject"; readonly subject: string; readonly except: readonly string[] }
  | {
      readonly kind: "tenant";
      /** Empty: every client. */
      readonly clientId: string;
      /** Where given, only sessions created before this instant of the store's clock end. */
      readonly createdBeforeMs: number | undefined;
    }
  | { readonly kind: "all" };

/** One event of the revocation log. */
export interface RevocationEvent {
  readonly revision: Revision;
  readonly eventId: string;
  /** `changed`: the target lives, but what is known of it is out of date. */
  readonly kind: "revoked" | "changed";
  /** Why a token was rotated, in a `changed` event of a rotation. */
  readonly trigger: RotationTrigger | undefined;
  readonly target: EventTarget;
  /** For more than one session: what was issued before it has ended. */
  readonly cutoff: Revision | undefined;
  readonly tenantId: string;
  readonly reason: RevocationReason;
  readonly initiatingEntity: InitiatingEntity;
  /** Wall clock of the store. Information only: no decision rests on it. */
  readonly revokedAtMs: number | undefined;
}

/** Why a position could not be resumed. */
export type ResetReason = "unspecified" | "too-old" | "history-forked";

/** Where partitions go on after a position that could not be resumed. */
export interface Reset {
  readonly at: readonly Revision[];
  readonly reason: ResetReason;
}

/** One message of the stream. Nothing in it proves that a cache is up to date. */
export type WatchMessage =
  | {
      readonly kind: "opened";
      readonly position: readonly Revision[];
      readonly deploymentId: string;
      readonly maxStalenessMs: number;
    }
  | {
      readonly kind: "batch";
      readonly ranges: readonly RevisionRange[];
      readonly events: readonly RevocationEvent[];
    }
  | { readonly kind: "progress"; readonly ranges: readonly RevisionRange[] }
  | { readonly kind: "reset"; readonly reset: Reset }
  | { readonly kind: "goaway"; readonly reconnectWithinMs: number };

/** What a Sync returned. */
export interface SyncReply {
  readonly ranges: readonly RevisionRange[];
  readonly events: readonly RevocationEvent[];
  /** The heads, read after the request arrived. A partition that could not be read is missing. */
  readonly heads: readonly Revision[];
  readonly resets: readonly Reset[];
  /** The staleness bound L that this answer grants, in ms. */
  readonly maxStalenessMs: number;
  readonly deploymentId: string;
}
