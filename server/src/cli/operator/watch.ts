import {
  type RevocationEvent,
  RevocationEventKind,
  RevocationReason,
  WatchRevocationsRequest,
  type WatchRevocationsResponse,
} from "@coatcheck/proto";
import { type ServiceError, status } from "@grpc/grpc-js";
import type { Command } from "commander";

import { randomBase62 } from "../../base/random.js";
import { sleep } from "../../base/sleep.js";
import { SERVER_VERSION } from "../../server.js";
import { toCommandError } from "./connection.js";
import { CommandError, EXIT } from "./exit.js";
import { enumName, instantText, type Printer, revisionText, type Row } from "./print.js";
import type { Operator, Runner } from "./program.js";

interface WatchOptions {
  readonly tenant: readonly string[];
  readonly limit?: string;
}

/** How one stream ended. */
type StreamEnd = ServiceError | "enough";

const RECONNECT_MS = 500;
const RETRIED: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED]);

/** `watch`: revocations as they happen. */
export function addWatchCommand(program: Command, run: Runner): void {
  program
    .command("watch")
    .description("print revocations and changes as they happen, until interrupted")
    .option("--tenant <tenant>", "only of this tenant; may be repeated", collect, [])
    .option("--limit <count>", "end after so many events")
    .action(async (options: WatchOptions) => {
      await run(async (operator) => {
        await watch(operator, options);
      });
    });
}

/**
 * Follows the stream from now on. A stream that ends after it had opened is opened
 * again where it was; one that never opened is the end.
 */
async function watch(operator: Operator, options: WatchOptions): Promise<void> {
  const limit = options.limit === undefined ? Infinity : Number(options.limit);
  if (!(limit >= 1)) {
    throw new CommandError(EXIT.usage, "Cannot use --limit: it must be a number from 1 on");
  }
  const feed = new Feed(operator.print, limit);
  const instanceId = randomBase62(22);
  for (;;) {
    const openedBefore = feed.opened;
    const end = await readStream(operator, feed, {
      ...WatchRevocationsRequest.create({
        clientName: "coatcheck-cli",
        instanceId,
        sdkVersion: SERVER_VERSION,
      }),
      tenantIds: [...options.tenant],
      position: feed.position(),
      deploymentId: feed.deploymentId,
    });
    if (end === "enough") {
      return;
    }
    if (!RETRIED.has(end.code) || feed.opened === openedBefore) {
      throw toCommandError(end);
    }
    await sleep(RECONNECT_MS);
  }
}

async function readStream(
  { connection }: Operator,
  feed: Feed,
  request: WatchRevocationsRequest,
): Promise<StreamEnd> {
  const stream = connection.revocations.watchRevocations(request, connection.metadata);
  return await new Promise<StreamEnd>((resolve) => {
    stream.on("data", (message: WatchRevocationsResponse) => {
      if (feed.take(message)) {
        resolve("enough");
        stream.cancel();
      }
    });
    stream.on("error", resolve);
  });
}

/** What has been told, and up to where. */
class Feed {
  /** How often a stream has opened. */
  opened = 0;
  deploymentId = "";
  readonly #print: Printer;
  readonly #position = new Map<number, NonNullable<RevocationEvent["revision"]>>();
  #left: number;

  constructor(print: Printer, limit: number) {
    this.#print = print;
    this.#left = limit;
  }

  position(): NonNullable<RevocationEvent["revision"]>[] {
    return [...this.#position.values()];
  }

  /** Prints what a message says. Returns whether that was enough. */
  take({ body }: WatchRevocationsResponse): boolean {
    switch (body?.$case) {
      case "opened":
        this.opened += 1;
        this.deploymentId = body.value.deploymentId;
        this.#reach(body.value.position);
        if (this.opened === 1) this.#print.note("watching; Ctrl-C ends it");
        break;
      case "batch":
        this.#printEvents(body.value.events);
        this.#reach(body.value.ranges.map(({ through }) => through));
        break;
      case "progress":
        this.#reach(body.value.ranges.map(({ through }) => through));
        break;
      case "reset":
        this.#reach(body.value.at);
        this.#print.line({ kind: "reset" }, "reset: events in between are not known");
        break;
      case "goaway":
      case undefined:
    }
    return this.#left <= 0;
  }

  #printEvents(events: readonly RevocationEvent[]): void {
    for (const event of events) {
      if (this.#left <= 0) return;
      this.#left -= 1;
      this.#print.line(viewEvent(event), describe(event));
    }
  }

  #reach(revisions: readonly RevocationEvent["revision"][]): void {
    for (const revision of revisions) {
      if (revision !== undefined) this.#position.set(revision.partition, revision);
    }
  }
}

function viewEvent(event: RevocationEvent): Row {
  return {
    at: instantText(event.revokedAt),
    kind: enumName(RevocationEventKind, event.kind),
    target: targetText(event),
    tenant_id: event.tenantId,
    reason: enumName(RevocationReason, event.reason),
    revision: revisionText(event.revision),
    event_id: event.eventId,
  };
}

function describe(event: RevocationEvent): string {
  const reason =
    event.reason === RevocationReason.UNSPECIFIED ? "" : enumName(RevocationReason, event.reason);
  return [
    instantText(event.revokedAt),
    enumName(RevocationEventKind, event.kind).padEnd(7),
    event.tenantId === "" ? "-" : event.tenantId,
    targetText(event),
    reason,
  ]
    .join("  ")
    .trimEnd();
}

function targetText({ target }: RevocationEvent): string {
  switch (target?.$case) {
    case "session":
      return `session ${target.value.sessionId}`;
    case "subject":
      return target.value.except.length === 0
        ? `subject ${target.value.subject}`
        : `subject ${target.value.subject} except ${target.value.except.join(", ")}`;
    case "tenant":
      return [
        target.value.clientId === "" ? "whole tenant" : `client ${target.value.clientId}`,
        target.value.createdBefore === undefined
          ? ""
          : `created before ${instantText(target.value.createdBefore)}`,
      ]
        .join(" ")
        .trimEnd();
    case "all":
      return "everything";
    case undefined:
      return "unknown";
  }
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
