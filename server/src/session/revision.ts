/**
 * A place in the revocation log of one partition: first by generation, then by
 * sequence. Revisions of two partitions are not comparable.
 *
 * Both numbers stay below 2^53: a generation is unix microseconds (2^53 is
 * reached in the year 2255), and untrusted input is bounded before it gets here.
 */
export interface Revision {
  readonly partition: number;
  readonly generation: number;
  readonly sequence: number;
}

/** Negative where `a` is before `b`, zero where they are the same, else positive. */
export function compareRevisions(a: Revision, b: Revision): number {
  return a.generation === b.generation ? a.sequence - b.sequence : a.generation - b.generation;
}

/** The later of two revisions of one partition. */
export function laterRevision(a: Revision, b: Revision): Revision {
  return compareRevisions(a, b) >= 0 ? a : b;
}
