import type { InitiatingEntity, RevocationReason, RotationTrigger } from "./outcome.js";
import type { Revision } from "./revision.js";

/**
 * What an event happened to. For everything but one session the event is a
 * cutoff: it ends what was issued before its revision.
 */
export type EventTarget =
  | { readonly kind: "session"; readonly sessionId: string }
  | { readonly kind: "subject"; readonly subject: string; readonly except: readonly string[] }
  | {
      readonly kind: "tenant";
      /** Empty: every client. */
      readonly clientId: string;
      /** Only sessions created before this instant of the store's clock. */
      readonly createdBeforeMs: number | undefined;
    }
  | { readonly kind: "all" };

/** One event as the log keeps it. */
export interface RevocationEvent {
  readonly revision: Revision;
  /** Identifies the event over changes of the log's history. */
  readonly eventId: string;
  readonly kind: "revoked" | "changed";
  /** Why a token was rotated, in a `changed` event of a rotation. */
  readonly trigger: RotationTrigger | undefined;
  readonly target: EventTarget;
  /** For a target of more than one session: what was issued before it has ended. */
  readonly cutoff: Revision | undefined;
  /** Empty for `all`. */
  readonly tenantId: string;
  readonly reason: RevocationReason;
  readonly initiatingEntity: InitiatingEntity;
  /** Information only; no decision rests on it. */
  readonly atMs: number;
}
