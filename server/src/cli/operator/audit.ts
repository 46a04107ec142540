import {
  type AuditEvent,
  InitiatingEntity,
  ListAuditEventsRequest,
  RevocationReason,
  Timestamp,
} from "@coatcheck/proto";
import { status } from "@grpc/grpc-js";
import { type Command, InvalidArgumentError } from "commander";

import { call } from "./connection.js";
import { enumName, instantText, revisionText, type Row } from "./print.js";
import type { Operator, Runner } from "./operator.js";

interface AuditOptions {
  readonly tenant: string;
  readonly subject: string;
  readonly session: string;
  readonly since?: Date;
  readonly limit: number;
}

const PAGE_SIZE_MAX = 500;

/** `audit`: who did what, newest first. */
export function addAuditCommand(program: Command, run: Runner): void {
  program
    .command("audit")
    .description("who did what, and who was refused, newest first")
    .option("--tenant <tenant>", "only of this tenant", "")
    .option("--subject <subject>", "only of this subject", "")
    .option("--session <session-id>", "only of this session", "")
    .option("--since <instant>", "not before: 2026-01-31T12:00:00Z", parseInstant)
    .option("--limit <count>", "at most so many", parseCount, 50)
    .action(async (options: AuditOptions) => {
      await run(async (operator) => {
        await printEvents(operator, options);
      });
    });
}

async function printEvents({ connection, print }: Operator, options: AuditOptions): Promise<void> {
  const list = connection.admin.listAuditEvents.bind(connection.admin);
  const rows: Row[] = [];
  let pageToken = "";
  do {
    const request = ListAuditEventsRequest.create({
      tenantId: options.tenant,
      subject: options.subject,
      sessionId: options.session,
      since: options.since === undefined ? undefined : toTimestamp(options.since),
      pageSize: Math.min(PAGE_SIZE_MAX, options.limit - rows.length),
      pageToken,
    });
    const page = await call(connection, list, request);
    rows.push(...page.events.map(viewEvent));
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && rows.length < options.limit);
  print.list(columnsOf(options), rows);
}

/** What every row would say, because it was asked for, only takes room. */
function columnsOf({ tenant, subject, session }: AuditOptions): readonly string[] {
  return [
    "at",
    "method",
    "caller",
    ...(tenant === "" && session === "" ? ["tenant_id"] : []),
    ...(subject === "" && session === "" ? ["subject"] : []),
    ...(session === "" ? ["session_id"] : []),
    "result",
    "reason_admin",
  ];
}

function viewEvent(event: AuditEvent): Row {
  const reason =
    event.reason === RevocationReason.UNSPECIFIED ? "" : enumName(RevocationReason, event.reason);
  const answered = status[event.statusCode] ?? String(event.statusCode);
  return {
    at: instantText(event.at),
    event_id: event.eventId,
    method: event.method.replace(/^coatcheck\.v1\.(?:\w+\/)?/, ""),
    caller: event.caller,
    tenant_id: event.tenantId,
    subject: event.subject,
    session_id: event.sessionId,
    reason,
    initiating_entity:
      event.initiatingEntity === InitiatingEntity.UNSPECIFIED
        ? ""
        : enumName(InitiatingEntity, event.initiatingEntity),
    reason_admin: event.reasonAdmin,
    revision: revisionText(event.revision),
    status: answered,
    result: event.statusCode === 0 && reason !== "" ? reason : answered,
  };
}

function toTimestamp(at: Date): Timestamp {
  const millis = at.getTime();
  const seconds = Math.floor(millis / 1000);
  return Timestamp.create({ seconds: BigInt(seconds), nanos: (millis - seconds * 1000) * 1e6 });
}

function parseInstant(text: string): Date {
  const at = new Date(text);
  if (Number.isNaN(at.getTime()) || at.getTime() < 0) {
    throw new InvalidArgumentError("It must be an instant such as 2026-01-31T12:00:00Z.");
  }
  return at;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 100_000) {
    throw new InvalidArgumentError("It must be a whole number from 1 to 100000.");
  }
  return count;
}
