import {
  GetSessionRequest,
  InitiatingEntity,
  ListSessionsRequest,
  RevocationReason,
  RevokeSessionRequest,
  RevokeSubjectSessionsRequest,
  type Session,
  SessionState,
} from "@coatcheck/proto";
import { type Command, Option } from "commander";

import { randomBase62 } from "../../base/random.js";
import { call } from "./connection.js";
import { CommandError, EXIT } from "./exit.js";
import { durationMs, enumName, instantText, revisionText, type Row } from "./print.js";
import type { Runner } from "./operator.js";

/** Options of every command that ends sessions. */
interface CauseOptions {
  readonly reason: string;
  readonly note: string;
  readonly message: string;
  readonly requestId?: string;
}

interface SubjectOptions extends CauseOptions {
  readonly except?: string;
  readonly device?: string;
}

// All of them are active; the rest of each is in `sessions get` and in --json.
const COLUMNS = ["session_id", "created_at", "last_seen_at", "client_id", "device"];
const PAGE_SIZE = 500;

/** What `--reason` takes. */
const REASONS = Object.entries(RevocationReason).flatMap(([name, number]) =>
  number > 0 ? [name.toLowerCase()] : [],
);

/** `sessions list|get|revoke|revoke-subject`. */
export function addSessionCommands(program: Command, run: Runner): void {
  const sessions = program.command("sessions").description("look at sessions and end them");
  sessions
    .command("list <tenant> <subject>")
    .description("the live sessions of a subject, oldest first")
    .action(async (tenantId: string, subject: string) => {
      await run(async ({ connection, print }) => {
        const found: Row[] = [];
        let pageToken = "";
        do {
          const request = { tenantId, subject, pageSize: PAGE_SIZE, pageToken };
          const list = connection.sessions.listSessions.bind(connection.sessions);
          const page = await call(connection, list, ListSessionsRequest.create(request));
          found.push(...page.sessions.map(viewSession));
          pageToken = page.nextPageToken;
        } while (pageToken !== "");
        print.list(COLUMNS, found);
      });
    });
  sessions
    .command("get <session-id>")
    .description("one session, live or ended")
    .action(async (sessionId: string) => {
      await run(async ({ connection, print }) => {
        const get = connection.sessions.getSession.bind(connection.sessions);
        const { session } = await call(connection, get, GetSessionRequest.create({ sessionId }));
        if (session !== undefined) print.one(viewSession(session));
      });
    });
  addRevoke(sessions, run);
  addRevokeSubject(sessions, run);
}

function addRevoke(sessions: Command, run: Runner): void {
  withCause(sessions.command("revoke <session-id>").description("end one session")).action(
    async (sessionId: string, options: CauseOptions) => {
      await run(async ({ connection, print }) => {
        const revoke = connection.sessions.revokeSession.bind(connection.sessions);
        const request = RevokeSessionRequest.create({
          target: { $case: "sessionId", value: sessionId },
          ...causeFields(options),
        });
        const reply = await call(connection, revoke, request);
        if (!reply.found) {
          throw new CommandError(EXIT.failed, `There is no session ${sessionId}`);
        }
        print.one({
          session_id: sessionId,
          already_revoked: reply.alreadyRevoked,
          revision: revisionText(reply.revision),
          effective_within_ms: durationMs(reply.effectiveWithin),
        });
      });
    },
  );
}

function addRevokeSubject(sessions: Command, run: Runner): void {
  withCause(
    sessions
      .command("revoke-subject <tenant> <subject>")
      .description("end all sessions of a subject")
      .addOption(new Option("--except <session-id>", "spare this one").conflicts("device"))
      .option("--device <device-id>", "only those on this device"),
  ).action(async (tenantId: string, subject: string, options: SubjectOptions) => {
    await run(async ({ connection, print }) => {
      const revoke = connection.sessions.revokeSubjectSessions.bind(connection.sessions);
      const request = RevokeSubjectSessionsRequest.create({
        tenantId,
        subject,
        scope: scopeOf(options),
        ...causeFields(options),
      });
      const reply = await call(connection, revoke, request);
      print.one({
        subject,
        revoked_estimate: Number(reply.revokedCountEstimate),
        revision: revisionText(reply.revision),
        effective_within_ms: durationMs(reply.effectiveWithin),
      });
    });
  });
}

function scopeOf({ except, device }: SubjectOptions): RevokeSubjectSessionsRequest["scope"] {
  if (device !== undefined) return { $case: "deviceId", value: device };
  return except === undefined ? undefined : { $case: "exceptSessionId", value: except };
}

/** Adds the options that say why. */
export function withCause(command: Command): Command {
  return command
    .addOption(new Option("--reason <reason>", "why").choices(REASONS).default("admin"))
    .option("--note <sentence>", "for the audit trail", "")
    .option("--message <sentence>", "for the user", "")
    .option("--request-id <id>", "repeat an earlier attempt with its id");
}

/** The fields of a revoking request. A new request id makes the call safe to repeat by the library. */
export function causeFields(
  options: CauseOptions,
): Pick<
  RevokeSessionRequest,
  "reason" | "initiatingEntity" | "reasonAdmin" | "reasonUser" | "requestId"
> {
  const names: Readonly<Record<string, RevocationReason>> = RevocationReason;
  return {
    reason: names[options.reason.toUpperCase()] ?? RevocationReason.ADMIN,
    initiatingEntity: InitiatingEntity.ADMIN,
    reasonAdmin: options.note,
    reasonUser: options.message,
    requestId: options.requestId ?? randomBase62(22),
  };
}

function viewSession(session: Session): Row {
  const { ended } = session;
  return {
    session_id: session.sessionId,
    tenant_id: session.tenantId,
    subject: session.subject,
    state: enumName(SessionState, session.state),
    created_at: instantText(session.createdAt),
    last_seen_at: instantText(session.lastSeenAt),
    idle_expires_at: instantText(session.idleExpiresAt),
    absolute_expires_at: instantText(session.absoluteExpiresAt),
    policy: session.policy,
    client_id: session.clientId,
    device: session.device?.name === "" ? session.device.id : (session.device?.name ?? ""),
    origin: session.origin,
    aal: session.aal,
    amr: session.amr,
    version: Number(session.version),
    ended_at: instantText(ended?.at),
    ended_reason: ended === undefined ? "" : enumName(RevocationReason, ended.reason),
    ended_by: ended === undefined ? "" : enumName(InitiatingEntity, ended.initiatingEntity),
    ended_message: ended?.reasonUser ?? "",
  };
}
