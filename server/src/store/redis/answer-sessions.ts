import type { ValidationOutcome } from "../../session/outcome.js";
import { keyDigest, partitionOf } from "../../session/partition.js";
import { compareRevisions, type Revision } from "../../session/revision.js";
import type { SessionUse, ValidateCommand, ValidateReply } from "../session-store.js";
import { StoreBehindError } from "../store-error.js";
import { decodeAnswer, decodeOutcome, encodeRevision, ReplyList, toBytes } from "./codec.js";
import { createTenantDigests } from "./keys.js";
import type { LinkCall, RedisLink } from "./redis-link.js";

/** What answering tokens needs besides the link. */
export interface AnswerOptions {
  /** Replicas that have to be connected where Redis refuses writes, for an answer to be given. */
  readonly minReplicas: number;
}

/**
 * The hot path: tokens answered and uses recorded.
 *
 * Only the digests of token, tenant and clients go to Redis. What a request may
 * ask beyond that is rare, so it goes as JSON and is absent otherwise.
 */
export class SessionAnswers {
  readonly #link: RedisLink;
  readonly #minReplicas: number;
  readonly #tenantDigest = createTenantDigests();

  constructor(link: RedisLink, { minReplicas }: AnswerOptions) {
    this.#link = link;
    this.#minReplicas = minReplicas;
  }

  /** Answers one token. */
  async validate(command: ValidateCommand): Promise<ValidateReply> {
    const partition = partitionOf(command.sessionId);
    const minRevision = floorOf(partition, command);
    const call: LinkCall = {
      partition,
      attempt: "validate a token",
      keys: [
        this.#link.keys.head(partition),
        this.#link.keys.session(partition, command.sessionId),
      ],
      args: [
        command.tokenDigest,
        this.#tenantDigest(command.tenantId),
        command.touch ? "1" : "0",
        encodeOptions(command),
        minRevision === undefined ? "" : encodeRevision(minRevision),
      ],
    };
    if (!this.#link.isOpen(partition)) {
      await this.#link.ready(partition);
    }
    const reply = await this.#link.send("validate_session", call, (code) =>
      code === "MISCONF" ? this.#link.send("validate_readonly", this.#readOnly(call)) : undefined,
    );
    return this.#decode(command, toBytes(reply));
  }

  /** Answers many tokens of one partition in one step. */
  async validateBatch(
    partition: number,
    commands: readonly ValidateCommand[],
  ): Promise<readonly ValidateReply[]> {
    if (commands.length === 0) {
      return [];
    }
    const { keys } = this.#link;
    const floor = highestFloor(partition, commands);
    const call: LinkCall = {
      partition,
      attempt: "validate tokens",
      keys: [
        keys.head(partition),
        ...commands.map(({ sessionId }) => keys.session(partition, sessionId)),
      ],
      args: [
        commands.map(({ tokenDigest }) => tokenDigest).join(""),
        commands.map(({ tenantId }) => this.#tenantDigest(tenantId)).join(""),
        commands.map(({ touch }) => (touch ? "1" : "0")).join(""),
        encodeBatchOptions(commands),
        floor === undefined ? "" : encodeRevision(floor),
      ],
    };
    await this.#link.ready(partition);
    // Refused for MISCONF, it answers with no item; the singles have another way.
    const reply = await this.#link.send("validate_batch", call, (code) =>
      code === "MISCONF" ? Promise.resolve([]) : undefined,
    );
    const list = new ReplyList(reply);
    if (list.length === 0) {
      return await Promise.all(commands.map(async (command) => await this.validate(command)));
    }
    return commands.map((command, index) =>
      this.#decode(command, list.bytes(Math.min(index, list.length - 1))),
    );
  }

  /** Records uses that caches answered. */
  async touch(
    partition: number,
    uses: readonly SessionUse[],
    tenantIds?: readonly string[],
  ): Promise<readonly ValidationOutcome[]> {
    if (uses.length === 0) {
      return [];
    }
    const { keys } = this.#link;
    const reply = await this.#link.run("touch_sessions", {
      partition,
      attempt: "record uses",
      keys: [
        keys.head(partition),
        ...uses.map(({ sessionId }) => keys.session(partition, sessionId)),
      ],
      args: [
        uses.map(({ tokenDigest }) => tokenDigest).join(""),
        // A list of none begins with what is no digest: it must not look like "any".
        tenantIds === undefined ? "" : ["-", ...tenantIds.map(this.#tenantDigest)].join(" "),
        ...uses.map(({ idleForMs }) => Math.max(0, Math.trunc(idleForMs))),
      ],
    });
    const outcomes = toBytes(reply);
    return uses.map((_, index) => decodeOutcome(outcomes[index]));
  }

  #readOnly(call: LinkCall): LinkCall {
    const [token, tenant, , options, floor] = call.args;
    return {
      ...call,
      args: [token ?? "", tenant ?? "", this.#minReplicas, options ?? "", floor ?? ""],
    };
  }

  #decode(command: ValidateCommand, packed: Buffer): ValidateReply {
    const partition = partitionOf(command.sessionId);
    const reply = decodeAnswer({ partition, sessionId: command.sessionId }, packed);
    if (reply === "behind") {
      throw new StoreBehindError(
        `Cannot validate in partition ${partition}: its log has not reached the revision asked for`,
      );
    }
    this.#link.noteGeneration(reply.asOf);
    return reply;
  }
}

/** A revision of another partition says nothing here. */
function floorOf(partition: number, { minRevision }: ValidateCommand): Revision | undefined {
  return minRevision?.partition === partition ? minRevision : undefined;
}

function highestFloor(
  partition: number,
  commands: readonly ValidateCommand[],
): Revision | undefined {
  let highest: Revision | undefined;
  for (const command of commands) {
    const floor = floorOf(partition, command);
    if (floor !== undefined && (highest === undefined || compareRevisions(floor, highest) > 0)) {
      highest = floor;
    }
  }
  return highest;
}

function toOptions(command: ValidateCommand): object | undefined {
  const { audienceClientIds, binding, requirements, tenantId } = command;
  if (audienceClientIds.length === 0 && binding === undefined && requirements === undefined) {
    return undefined;
  }
  return {
    ...(audienceClientIds.length === 0
      ? {}
      : { audience: audienceClientIds.map((clientId) => keyDigest(tenantId, clientId)) }),
    ...(binding === undefined
      ? {}
      : {
          binding: {
            ip: binding.ipAddress,
            agent: binding.userAgent,
            device: binding.deviceId,
          },
        }),
    ...(requirements === undefined
      ? {}
      : {
          requirements: {
            aal: requirements.minAal,
            age: requirements.maxAuthAgeMs,
            amr: requirements.requiredAmr,
          },
        }),
  };
}

function encodeOptions(command: ValidateCommand): string {
  const options = toOptions(command);
  return options === undefined ? "" : JSON.stringify(options);
}

function encodeBatchOptions(commands: readonly ValidateCommand[]): string {
  const entries = commands.flatMap((command, index) => {
    const options = toOptions(command);
    return options === undefined ? [] : [[String(index + 1), options] as const];
  });
  return entries.length === 0 ? "" : JSON.stringify(Object.fromEntries(entries));
}
