import { PARTITION_COUNT } from "../../session/partition.js";
import type { PartitionSize } from "../store-measure.js";
import { ReplyList } from "./codec.js";
import type { RedisLink } from "./redis-link.js";

/** How much each partition that answers holds. */
export async function measurePartitions(link: RedisLink): Promise<readonly PartitionSize[]> {
  const partitions = Array.from({ length: PARTITION_COUNT }, (_, partition) => partition);
  const answers = await Promise.allSettled(
    partitions.map(async (partition) => await measurePartition(link, partition)),
  );
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
}

async function measurePartition(link: RedisLink, partition: number): Promise<PartitionSize> {
  const reply = await link.run("measure_partition", {
    partition,
    attempt: "measure a partition",
    keys: [link.keys.head(partition)],
    args: [],
  });
  const counts = new ReplyList(reply);
  return {
    partition,
    liveSessions: counts.number(0),
    keptSessions: counts.number(1),
    expiredSessions: counts.number(2),
    logEvents: counts.number(3),
  };
}
