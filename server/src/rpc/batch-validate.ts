import {
  type BatchValidateSessionsRequest,
  Status,
  type ValidateSessionRequest,
} from "@coatcheck/proto";

import type { Caller } from "../callers/caller.js";
import { partitionOf } from "../session/partition.js";
import type { AuditOrigin } from "../store/audit-trail.js";
import { StoreBehindError } from "../store/store-error.js";
import type { ValidateCommand, ValidateReply } from "../store/session-store.js";
import { requireTenant } from "./authorization.js";
import { enforceRules, itemCount } from "./rules.js";
import type { SessionEnvironment } from "./session-environment.js";
import type { RpcError } from "./status.js";
import { toRpcStatus } from "./status.js";
import { answer, answerMalformed, type ItemResult, readValidate } from "./validate-session.js";
import { BATCH_ITEMS_MAX } from "./validate.js";

/*
 * A batch is as many single validations, cheaper. Items are grouped by the
 * partition in their token, one store call for each group, and every item is
 * answered as if it were alone: an invalid one, one that asks for a revision this
 * replica has not seen, or a partition that is away fails its own items only.
 */

/** The rules of the batch itself; its items have those of ValidateSession. */
export const BATCH_RULES = [
  itemCount("items", (m: BatchValidateSessionsRequest) => m.items, BATCH_ITEMS_MAX),
];

interface PendingItem {
  readonly index: number;
  readonly command: ValidateCommand;
}

/** Who asks, and how what went wrong with one item is told. */
export interface BatchContext {
  readonly caller: Caller;
  readonly callerKey: string;
  readonly origin: AuditOrigin;
  readonly explain: (error: unknown) => RpcError;
  /** Told once for each tenant of which items failed before the store was asked. */
  readonly onRefused: (item: ValidateSessionRequest, told: RpcError) => void;
}

/** Answers up to 256 tokens with an encoded `BatchValidateSessionsResponse`. */
export async function batchValidateSessions(
  environment: SessionEnvironment,
  request: BatchValidateSessionsRequest,
  context: BatchContext,
): Promise<Buffer> {
  enforceRules(BATCH_RULES, request);
  const batch = new Batch(environment, context);
  const groups = batch.read(request.items);
  await Promise.all([...groups].map(([partition, items]) => batch.ask(partition, items)));
  return encodeItems(batch.results);
}

class Batch {
  readonly results: ItemResult[] = [];
  readonly #environment: SessionEnvironment;
  readonly #context: BatchContext;

  constructor(environment: SessionEnvironment, context: BatchContext) {
    this.#environment = environment;
    this.#context = context;
  }

  /** Answers what needs no store and groups the rest. */
  read(items: readonly ValidateSessionRequest[]): Map<number, PendingItem[]> {
    const groups = new Map<number, PendingItem[]>();
    const refused = new Set<string>();
    items.forEach((item, index) => {
      try {
        requireTenant(this.#context.caller, item.tenantId);
        const command = readValidate(item);
        if (command === undefined) {
          this.results[index] = { kind: "response", bytes: answerMalformed(this.#environment) };
          return;
        }
        const partition = partitionOf(command.sessionId);
        const group = groups.get(partition) ?? [];
        group.push({ index, command });
        groups.set(partition, group);
      } catch (error) {
        const told = this.#fail([{ index }], error);
        if (!refused.has(item.tenantId)) this.#context.onRefused(item, told);
        refused.add(item.tenantId);
      }
    });
    return groups;
  }

  /** Asks one partition. Never rejects. */
  async ask(partition: number, items: readonly PendingItem[]): Promise<void> {
    try {
      const commands = items.map(({ command }) => command);
      const replies = await this.#environment.store.validateBatch(partition, commands);
      await Promise.all(items.map((item, position) => this.#settle(item, replies[position])));
    } catch (error) {
      const demanding = items.filter(({ command }) => command.minRevision !== undefined);
      if (error instanceof StoreBehindError && items.length > 1 && demanding.length > 0) {
        await this.#askApart(partition, items);
      } else {
        this.#fail(items, error);
      }
    }
  }

  /** One demanding item fails a store's whole batch; asked alone it fails alone. */
  async #askApart(partition: number, items: readonly PendingItem[]): Promise<void> {
    const easy = items.filter(({ command }) => command.minRevision === undefined);
    const demanding = items.filter(({ command }) => command.minRevision !== undefined);
    await Promise.all([
      easy.length === 0 ? undefined : this.ask(partition, easy),
      ...demanding.map((item) => this.ask(partition, [item])),
    ]);
  }

  /** Never rejects: one item that fails leaves the others as they are. */
  async #settle(item: PendingItem, reply: ValidateReply | undefined): Promise<void> {
    if (reply === undefined) {
      this.#fail([item], new RangeError("the store answered fewer items than it was asked"));
      return;
    }
    try {
      if (reply.outcome === "not-found") {
        const { sessionId } = item.command;
        const caller = this.#context.callerKey;
        await this.#environment.rates.countMiss({ caller, sessionId });
      }
      if (reply.outcome === "binding-mismatch") {
        this.#environment.onMismatch?.(this.#context.origin, item.command);
      }
      const bytes = answer(this.#environment, item.command, reply);
      this.results[item.index] = { kind: "response", bytes };
    } catch (error) {
      this.#fail([item], error);
    }
  }

  #fail(items: readonly { readonly index: number }[], error: unknown): RpcError {
    const told = this.#context.explain(error);
    const status = toRpcStatus(told);
    for (const { index } of items) {
      this.results[index] = { kind: "status", status };
    }
    return told;
  }
}

// Tags of BatchValidateSessionsResponse and its Item.
const ITEMS = 0x0a;
const RESPONSE = 0x0a;
const STATUS = 0x12;

function encodeItems(results: readonly ItemResult[]): Buffer {
  const parts: Buffer[] = [];
  for (const result of results) {
    const isResponse = result.kind === "response";
    const bytes = isResponse ? result.bytes : Buffer.from(Status.encode(result.status).finish());
    const inner = head(isResponse ? RESPONSE : STATUS, bytes.length);
    parts.push(head(ITEMS, inner.length + bytes.length), inner, bytes);
  }
  return Buffer.concat(parts);
}

/** A tag and a length, which is below 2^28. */
function head(tag: number, length: number): Buffer {
  const bytes = [tag];
  let rest = length;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
