import type { RevocationEvent } from "../base/event.js";
import type { Revision } from "../base/revision.js";
import type { SessionEnd } from "../base/session.js";
import { BoundedMap } from "./bounded-map.js";

/**
 * What one of this client's own calls did, told to the cache before the call's
 * promise resolves: whoever awaited a revocation must not be shown the session.
 */
export type OwnMutation =
  | {
      readonly kind: "revoked";
      readonly sessionId: string;
      readonly revision: Revision;
      readonly end: SessionEnd;
    }
  | { readonly kind: "changed"; readonly sessionId: string; readonly revision: Revision }
  /** The call failed, or had no effect, or nobody knows: what is cached may be out of date. */
  | { readonly kind: "uncertain"; readonly sessionId: string }
  /** Many sessions ended, as an event of the log would say it. */
  | { readonly kind: "cutoff"; readonly event: RevocationEvent }
  /** Some sessions of a subject may have ended, and the reply does not name them. */
  | {
      readonly kind: "subject-uncertain";
      readonly tenantId: string;
      readonly subject: string;
      readonly revision: Revision | undefined;
    };

/**
 * Orders this client's questions and the completions of its own mutations.
 *
 * A question that was sent before a mutation of the same session completed may
 * have been computed before it, whatever its `as_of` says: the two travelled on
 * different connections. Its answer is not kept, and nobody who asks later
 * joins it. Ticks count; no clock is involved.
 */
export class OwnMutationStamps {
  #tick = 0;
  #floorTick = 0;
  readonly #stamps: BoundedMap<string, number>;

  constructor(capacity: number) {
    this.#stamps = new BoundedMap(capacity, (tick) => {
      // What is forgotten is assumed of every session.
      this.#floorTick = Math.max(this.#floorTick, tick);
    });
  }

  /** The place of a question that is sent now. */
  next(): number {
    this.#tick += 1;
    return this.#tick;
  }

  /** A mutation of one session completed. */
  stamp(sessionId: string): void {
    this.#stamps.set(sessionId, this.next());
  }

  /** A mutation completed that may concern any session. */
  stampAll(): void {
    this.#floorTick = this.next();
  }

  /** Whether a question was sent after every mutation of the session completed. */
  isAfterAll(sessionId: string, sentTick: number): boolean {
    return sentTick > this.#floorTick && sentTick > (this.#stamps.get(sessionId) ?? 0);
  }
}
