import type { Clock } from "../../base/clock.js";
import { PARTITION_COUNT } from "../../session/partition.js";
import type { Revision } from "../../session/revision.js";
import type { CommandResult, MeterCommand, StoreCondition } from "../store-measure.js";
import type { AuditOrigin } from "../audit-trail.js";
import { StoreUnavailableError } from "../store-error.js";
import type { KeySpace } from "./keys.js";
import { isChangeOfPrimary, isRefusal, notReady, replyCode, toStoreError } from "./redis-error.js";
import {
  callScript,
  type Reply,
  type ScriptCall,
  type ScriptClient,
  type ScriptName,
} from "./scripts.js";

/*
 * The connection as the store uses it: every script call passes here, and nowhere
 * else does anything wait for Redis.
 *
 * A partition is *closed* until a pull of it has succeeded on the connection there
 * is. A new connection may lead to another primary, or to the same one restarted
 * from an older file: until the pull has compared the replication id and opened a
 * generation where it has to, an answer could say "valid, as of revision r" in a
 * history in which r never happened. After a break all are closed again, and after
 * a refusal that only a replica or an emptied Redis gives, that one. Many callers
 * wait for one pull. An open partition costs a call one look at a list.
 *
 * Writes to the socket are corked to the end of the turn: one system call for all
 * the commands of a turn instead of one for each, which is worth more than
 * anything else on the hot path.
 */

/** A cluster that is learning its slots seems to break a few times in a row. */
const OPEN_ATTEMPTS_MAX = 3;

/** What a link needs. */
export interface LinkOptions {
  readonly client: ScriptClient;
  readonly keys: KeySpace;
  readonly logRetention: number;
  /** Whether appends tell the channel. */
  readonly pubSub: boolean;
  /** Measures each script, from sending it to its answer. */
  readonly meter: { readonly clock: Clock; readonly command: MeterCommand } | undefined;
  /** Entries kept in each stream of the audit trail. */
  readonly auditLength: number;
}

/** A call of a script in a partition. */
export interface LinkCall extends ScriptCall {
  readonly partition: number;
  /** What is attempted, for the error: "validate a token". */
  readonly attempt: string;
}

/** The way to Redis. */
export class RedisLink {
  readonly keys: KeySpace;
  readonly #client: ScriptClient;
  readonly #context: readonly (string | number)[];
  readonly #auditLength: number;
  readonly #open: boolean[] = Array.from({ length: PARTITION_COUNT }, () => false);
  readonly #opening = new Map<number, Promise<void>>();
  readonly #generations: number[] = Array.from({ length: PARTITION_COUNT }, () => 0);
  #openPartition: ((partition: number) => Promise<void>) | undefined;
  readonly #meter: LinkOptions["meter"];
  #corked = false;
  #breaks = 0;

  constructor(options: LinkOptions) {
    const { client, keys, logRetention, pubSub } = options;
    this.keys = keys;
    this.#client = client;
    this.#meter = options.meter;
    this.#auditLength = options.auditLength;
    this.#context = [logRetention, pubSub ? keys.nudgeChannel : ""];
    for (const event of ["close", "end", "refresh", "-node", "node error"]) {
      client.on(event, () => {
        this.#closeAll();
      });
    }
  }

  /** Sets what opens a partition: a pull. */
  openWith(openPartition: (partition: number) => Promise<void>): void {
    this.#openPartition = openPartition;
  }

  /** The highest generation seen in a partition, so that a new one is above it. */
  noteGeneration({ partition, generation }: Revision): void {
    this.#generations[partition] = Math.max(this.#generations[partition] ?? 0, generation);
  }

  /** The arguments that every script with the log in it begins with. */
  logArguments(partition: number): readonly (string | number)[] {
    return [this.#generations[partition] ?? 0, ...this.#context];
  }

  /** The part of a script's command that has it write an audit entry. */
  auditArgument(origin: AuditOrigin | undefined, reasonAdmin = ""): object {
    return origin === undefined
      ? {}
      : {
          audit: {
            method: origin.method,
            caller: origin.caller,
            admin: reasonAdmin,
            max: this.#auditLength,
          },
        };
  }

  /** Whether a partition may be answered for without a pull first. */
  isOpen(partition: number): boolean {
    return this.#open[partition] === true;
  }

  /** Runs a script in a partition that is open, and opens it first where it is not. */
  async run(name: ScriptName, call: LinkCall): Promise<Reply> {
    await this.ready(call.partition);
    return await this.send(name, call);
  }

  /**
   * Runs a script whether or not the partition is open. Rejects with an error of the
   * store; where it is a refusal, `onRefusal` may have another way.
   */
  async send(
    name: ScriptName,
    call: LinkCall,
    onRefusal?: (code: string) => Promise<Reply> | undefined,
  ): Promise<Reply> {
    if (this.#client.status !== "ready") {
      throw notReady(call.attempt);
    }
    const startedAtMs = this.#meter?.clock.monotonicMs() ?? 0;
    try {
      this.#cork();
      const reply = await callScript(this.#client, name, call);
      this.#measure(name, "ok", startedAtMs);
      return reply;
    } catch (error) {
      const code = replyCode(error);
      this.#measure(name, isRefusal(code) ? "refused" : "unknown", startedAtMs);
      if (isChangeOfPrimary(code)) {
        this.#open[call.partition] = false;
      }
      const otherWay = code === undefined ? undefined : onRefusal?.(code);
      if (otherWay !== undefined) {
        return await otherWay;
      }
      throw toStoreError(call.attempt, error);
    }
  }

  /** How the connection is, and how many partitions are open. */
  condition(): StoreCondition {
    return {
      isConnected: this.#client.status === "ready",
      openPartitions: this.#open.filter((isOpen) => isOpen).length,
      breaks: this.#breaks,
    };
  }

  /** Resolves once the partition is open, by one pull for all who wait. */
  async ready(partition: number): Promise<void> {
    if (this.isOpen(partition)) {
      return;
    }
    const pending = this.#opening.get(partition);
    if (pending !== undefined) {
      await pending;
      return;
    }
    const opening = this.#openNow(partition)
      .catch((error: unknown) => {
        throw withNothingApplied(error);
      })
      .finally(() => {
        this.#opening.delete(partition);
      });
    this.#opening.set(partition, opening);
    await opening;
  }

  /** A pull that was sent before a break proves nothing about the connection after it. */
  async #openNow(partition: number): Promise<void> {
    for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX; attempt += 1) {
      const breaks = this.#breaks;
      await this.#openPartition?.(partition);
      if (breaks === this.#breaks) {
        this.#open[partition] = true;
        return;
      }
    }
    throw new StoreUnavailableError(
      `Cannot open partition ${partition}: the connection to Redis broke ${OPEN_ATTEMPTS_MAX} times`,
      "no",
    );
  }

  #measure(name: ScriptName, result: CommandResult, startedAtMs: number): void {
    if (this.#meter !== undefined) {
      this.#meter.command(name, result, this.#meter.clock.monotonicMs() - startedAtMs);
    }
  }

  #closeAll(): void {
    this.#breaks += 1;
    this.#open.fill(false);
  }

  #cork(): void {
    // A cluster has a socket for each node, and chooses it later than here.
    if (this.#corked || this.#client.isCluster || !("stream" in this.#client)) {
      return;
    }
    const { stream } = this.#client;
    this.#corked = true;
    stream.cork();
    setImmediate(() => {
      this.#corked = false;
      stream.uncork();
    });
  }
}

/** What a caller waits for before its own script is sent: however it fails, that one was not. */
function withNothingApplied(error: unknown): unknown {
  return error instanceof StoreUnavailableError
    ? new StoreUnavailableError(error.message, "no")
    : error;
}
