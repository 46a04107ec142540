import { randomBase62 } from "../../base/random.js";
import type { Revision } from "../../session/revision.js";
import type { PullResult, RevocationLog } from "../revocation-log.js";
import { UnsupportedSchemaError } from "../store-error.js";
import { decodeEvent, decodeIncident, decodeRevision, parseVerdict, ReplyList } from "./codec.js";
import type { RedisLink } from "./redis-link.js";

/** The partition whose head names the deployment. */
const NAMING_PARTITION = 0;

/** The most events one pull returns, whatever it asks for. */
const PULL_MAX = 1_000;

/** The schema of the data that this version reads and writes. */
const SCHEMA = 1;

/**
 * The revocation log in Redis, one stream a partition, read by one script.
 *
 * Every pull also says that this replica grants leases of `maxStalenessMs`: the
 * bound is in the data before any client can have been promised it. And it knows
 * the deployment by name; after a FLUSHALL the name goes back under which
 * everybody holds positions, unless a replica that knew none was quicker.
 */
export class RedisLog implements RevocationLog {
  readonly #link: RedisLink;
  readonly #leaseMaxMs: number;
  readonly #listeners = new Set<(partition: number) => void>();
  #deploymentId = randomBase62(22);
  #isNamed = false;

  constructor(link: RedisLink, leaseMaxMs: number) {
    this.#link = link;
    this.#leaseMaxMs = leaseMaxMs;
  }

  /** The name of the data, as it was read last: it outlives an outage of its partition. */
  async deploymentId(): Promise<string> {
    if (!this.#isNamed) {
      await this.#link.ready(NAMING_PARTITION);
    }
    return this.#deploymentId;
  }

  /** Opens a partition: the replication id compared, the schema known. */
  async open(partition: number): Promise<void> {
    await this.#pull(partition, undefined, 1);
  }

  async pull(partition: number, from: Revision | undefined, limit: number): Promise<PullResult> {
    await this.#link.ready(partition);
    return await this.#pull(partition, from, limit);
  }

  onNudge(listener: (partition: number) => void): () => void {
    // Wrapped, so that the same function subscribed twice is two subscriptions.
    function subscription(partition: number): void {
      listener(partition);
    }
    this.#listeners.add(subscription);
    return () => {
      this.#listeners.delete(subscription);
    };
  }

  /** Tells the listeners that a partition probably has news. */
  nudge(partition: number): void {
    for (const listener of this.#listeners) {
      listener(partition);
    }
  }

  async #pull(partition: number, from: Revision | undefined, limit: number): Promise<PullResult> {
    const command = {
      partition,
      lmax: this.#leaseMaxMs,
      limit: Math.min(Math.max(limit, 1), PULL_MAX),
      gen: from?.generation,
      seq: from?.sequence,
      ...(partition === NAMING_PARTITION ? { deployment: this.#deploymentId } : {}),
    };
    const reply = new ReplyList(
      await this.#link.send("pull_revocations", {
        partition,
        attempt: "read the revocation log",
        keys: [this.#link.keys.head(partition)],
        args: [...this.#link.logArguments(partition), JSON.stringify(command)],
      }),
    );
    if (reply.text(0) === "SCHEMA") {
      throw new UnsupportedSchemaError(
        `Cannot use partition ${partition}: its data has schema ${reply.text(1)}, this server knows ${SCHEMA}`,
      );
    }
    return this.#decode(partition, reply);
  }

  #decode(partition: number, reply: ReplyList): PullResult {
    const head = decodeRevision(partition, reply.text(1));
    this.#link.noteGeneration(head);
    if (partition === NAMING_PARTITION) {
      this.#deploymentId = reply.text(4);
      this.#isNamed = true;
    }
    const entries = reply.list(5);
    return {
      head,
      verdict: parseVerdict(reply.text(2)),
      through: decodeRevision(partition, reply.text(3)),
      events: Array.from({ length: entries.length }, (_, position) =>
        decodeEvent(partition, entries.list(position)),
      ),
      incident: decodeIncident(reply.text(6)),
    };
  }
}
