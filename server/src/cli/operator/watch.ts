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
import { SERVER_VERSION } from "../../version.js";
import { toCommandError } from "./connection.js";
import { CommandError, EXIT } from "./exit.js";
import { enumName, instantText, type Printer, revisionText, type Row } from "./print.js";
import type { Operator, Runner } from "./operator.js";

interface WatchOptions {
  readonly tenant: readonly string[];
  readonly limit?: string;
}

/** How one stream ended. */
type StreamEnd = ServiceError | "enough";

const RECONNECT_MS = 500;

/** What no repetition changes. */
const FINAL: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.FAILED_PRECONDITION,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.UNIMPLEMENTED,
]);

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
 * Follows the stream from now on. Once it has opened it is opened again, where it
 * was, for as long as that takes: a replica restarts just when somebody watches. A
 * position of other data than the authority has now is dropped, and that is said. A
 * stream that never opened is the end.
 */
async function watch(operator: Operator, options: WatchOptions): Promise<void> {
  const limit = options.limit === undefined ? Infinity : Number(options.limit);
  if (!(limit >= 1)) {
    throw new CommandError(EXIT.usage, "Cannot use --limit: it must be a number from 1 on");
  }
  const feed = new Feed(operator.print, limit);
  const instanceId = randomBase62(22);
  for (;;) {
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
    const failure = toCommandError(end);
    if (!feed.mayGoOn(end.code)) {
      throw failure;
    }
    feed.lost(failure.message);
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
  deploymentId = "";
  readonly #print: Printer;
  #state: "new" | "open" | "lost" = "new";
  readonly #position = new Map<number, NonNullable<RevocationEvent["revision"]>>();
  #left: number;

  constructor(print: Printer, limit: number) {
    this.#print = print;
    this.#left = limit;
  }

  position(): NonNullable<RevocationEvent["revision"]>[] {
    return [...this.#position.values()];
  }

  /** Whether it is worth trying again after a stream ended so. */
  mayGoOn(code: status): boolean {
    const isPositionRefused =
      this.#position.size > 0 &&
      (code === status.INVALID_ARGUMENT || code === status.FAILED_PRECONDITION);
    if (isPositionRefused) {
      this.#position.clear();
      this.deploymentId = "";
      this.#print.line({ kind: "reset" }, "reset: the authority has other data than before");
    }
    return this.#state !== "new" && (isPositionRefused || !FINAL.has(code));
  }

  /** The stream ended. Said once, however long it takes to open it again. */
  lost(why: string): void {
    if (this.#state === "open") {
      this.#print.line({ kind: "disconnected", why }, `disconnected: ${why}; trying again`);
    }
    this.#state = "lost";
  }

  /** Prints what a message says. Returns whether that was enough. */
  take({ body }: WatchRevocationsResponse): boolean {
    switch (body?.$case) {
      case "opened":
        this.deploymentId = body.value.deploymentId;
        this.#reach(body.value.position);
        if (this.#state === "new") this.#print.note("watching; Ctrl-C ends it");
        if (this.#state === "lost") this.#print.line({ kind: "connected" }, "connected again");
        this.#state = "open";
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
