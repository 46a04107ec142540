import type { Instant } from "../base/instant.js";
import { compareRevisions, partitionOf, type Revision } from "../base/revision.js";
import type { SessionEnd, ValidationOutcome, ValidationReply } from "../base/session.js";
import type { Entry, Facts } from "./entry-table.js";

/** A validation on its way. */
export interface Question {
  readonly sessionId: string;
  /** The entry counts from here: the answer cannot be newer than its question. */
  readonly sentAt: Instant;
  readonly tick: number;
  /** The answer must be at least as new as what had been applied. */
  readonly appliedAtSend: Revision | undefined;
  /** Grows when everything is forgotten: earlier questions then mean nothing. */
  readonly era: number;
}

/** What memory says of a token. */
export type Hit =
  | { readonly kind: "hit"; readonly entry: Entry; readonly ageMs: number }
  | {
      readonly kind: "denied";
      readonly outcome: "revoked" | "rotated";
      readonly ended: SessionEnd;
    }
  | { readonly kind: "miss" };

/** What an answer of the authority comes to. */
export type Verdict =
  | { readonly kind: "accept"; readonly facts: Facts; readonly ageMs: number }
  | {
      readonly kind: "deny";
      readonly outcome: Exclude<ValidationOutcome, "valid">;
      readonly ended: SessionEnd | undefined;
    }
  /** It may not be used at all. `behind` is worth asking again. */
  | { readonly kind: "discard"; readonly cause: "too-old" | "behind" | "unusable" };

/** Why an answer was not kept. */
export type FillRefusal =
  | "not-cacheable"
  | "no-position"
  | "other-generation"
  | "below-floor"
  | "marked"
  | "below-cutoff"
  | "own-mutation"
  | "newer-entry";

/** Whether a revision lies before a bound, where there is one. */
export function isBelow(revision: Revision, bound: Revision | undefined): boolean {
  return bound !== undefined && compareRevisions(revision, bound) < 0;
}

/** Whether an answer is older than what had been applied when it was asked for (I10). */
export function isBehind(question: Question, reply: ValidationReply): boolean {
  return reply.asOf !== undefined && isBelow(reply.asOf, question.appliedAtSend);
}

/** What a VALID answer says; undefined where it lacks what it takes to check it. */
export function factsOf(reply: ValidationReply): Facts | undefined {
  const { session, asOf, issued, validForMs, superseded, authenticationAgeMs } = reply;
  if (session === undefined || asOf === undefined || issued === undefined) return undefined;
  const partition = partitionOf(session.sessionId);
  if (asOf.partition !== partition || issued.partition !== partition) return undefined;
  return { session, asOf, issued, validForMs, superseded, authenticationAgeMs };
}
