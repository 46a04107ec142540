/** How many partitions there are, for good: a session id carries its own. */
export const PARTITION_COUNT = 16;

/**
 * A place in the revocation log of one partition: first by generation, then by
 * sequence. Revisions of two partitions are not comparable.
 *
 * Both numbers stay below 2^53; whatever arrives above that is refused where it
 * is decoded.
 */
export interface Revision {
  readonly partition: number;
  readonly generation: number;
  readonly sequence: number;
}

/** A stretch of one partition's log without a hole. */
export interface RevisionRange {
  readonly fromExclusive: Revision;
  readonly through: Revision;
}

/** Negative where `a` is before `b`, zero where they are the same, else positive. */
export function compareRevisions(a: Revision, b: Revision): number {
  return a.generation === b.generation ? a.sequence - b.sequence : a.generation - b.generation;
}

/** The later of two revisions of one partition; the other one where one is missing. */
export function laterRevision(a: Revision | undefined, b: Revision): Revision {
  return a === undefined || compareRevisions(b, a) > 0 ? b : a;
}

/** The partition that a session id names. The id has been parsed before. */
export function partitionOf(sessionId: string): number {
  return Number.parseInt(sessionId.slice(0, 2), 16);
}
