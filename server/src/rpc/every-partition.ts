import { PARTITION_COUNT } from "../session/partition.js";
import { StoreUnavailableError } from "../store/store-error.js";

/**
 * Does something in every partition, and resolves only where every one confirmed.
 * Where some did and some did not, what was applied is unknown, whatever each
 * failure said of itself: a repeat settles it.
 */
export async function inEveryPartition<Result>(
  attempt: string,
  work: (partition: number) => Promise<Result>,
): Promise<readonly Result[]> {
  const settled = await Promise.allSettled(
    Array.from({ length: PARTITION_COUNT }, async (_, partition) => await work(partition)),
  );
  const done = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failures = settled.flatMap((one): unknown[] =>
    one.status === "rejected" ? [one.reason] : [],
  );
  const [first] = failures;
  if (failures.length === 0) {
    return done;
  }
  if (done.length > 0 && failures.every((failure) => failure instanceof StoreUnavailableError)) {
    throw new StoreUnavailableError(
      `Cannot ${attempt}: ${done.length} of ${PARTITION_COUNT} partitions confirmed`,
      "unknown",
    );
  }
  throw first;
}
