import { keyDigest, partitionOf } from "../../session/partition.js";
import type { BindingMode, SessionPolicy } from "../../session/policy.js";
import { partitionShare } from "../../session/tenant-cap.js";
import type {
  CheckedFacts,
  CreateCommand,
  CreateResult,
  ReplaceCommand,
  ReplaceResult,
  RequestIdReused,
  RequestRecord,
  RotateCommand,
  RotateResult,
  UpdateCommand,
  UpdateResult,
} from "../session-store.js";
import { StoreUnavailableError } from "../store-error.js";
import {
  decodeEnd,
  decodeRecord,
  decodeRevision,
  parseOutcome,
  ReplyList,
  type Subject,
} from "./codec.js";
import type { RedisLink } from "./redis-link.js";
import type { ScriptName } from "./scripts.js";

/** The answer to a request id that was used for something else. */
export const REQUEST_ID_REUSED: RequestIdReused = { kind: "request-id-reused" };

/** What a mutation of one session hands to its script. */
interface Mutation {
  readonly script: ScriptName;
  readonly attempt: string;
  readonly sessionId: string;
  /** The `command` of the script, as JSON. Undefined members are absent there. */
  readonly command: object;
  readonly facts?: Buffer | undefined;
}

/** Runs a script that changes one session. */
export async function mutate(link: RedisLink, mutation: Mutation): Promise<ReplyList> {
  const { script, attempt, sessionId, command, facts } = mutation;
  const partition = partitionOf(sessionId);
  await link.ready(partition);
  const reply = await link.send(script, {
    partition,
    attempt,
    keys: [link.keys.head(partition), link.keys.session(partition, sessionId)],
    args: [
      ...link.logArguments(partition),
      JSON.stringify({ partition, ...command }),
      ...(facts === undefined ? [] : [facts]),
    ],
  });
  return new ReplyList(reply);
}

/** A request as the scripts take it. */
export function encodeRequest(request: RequestRecord | undefined): object {
  return request === undefined ? {} : { request: request.key, arguments: request.argumentsDigest };
}

/** The tenants whose sessions a caller may touch, as the scripts take them. */
export function encodeTenants(tenantIds: readonly string[] | undefined): object {
  return tenantIds === undefined ? {} : { tenants: tenantIds.map((id) => keyDigest(id)) };
}

/** The error of a reply whose status its script's header does not list. */
export function unexpected(script: ScriptName, status: string): Error {
  return new Error(`Cannot read the reply of ${script}: its status is ${JSON.stringify(status)}`);
}

/** Creates a session. */
export async function createSession(
  link: RedisLink,
  command: CreateCommand,
): Promise<CreateResult> {
  const { sessionId } = command;
  const reply = await mutate(link, {
    script: "create_session",
    attempt: "create a session",
    sessionId,
    command: { ...encodeCreate(command), ...link.auditArgument(command.audit) },
    facts: command.facts,
  });
  const status = reply.text(0);
  switch (status) {
    case "CREATED":
      return toCreated(partitionOf(sessionId), reply);
    case "LIMIT":
      return { kind: "limit-reached", liveSessions: reply.number(1) };
    case "TENANT_FULL":
      return { kind: "tenant-full" };
    case "SUPERSEDED":
      return { kind: "superseded", sessionId: reply.text(1) };
    case "CLAIMED":
      return { kind: "claimed", sessionId: reply.text(1) };
    case "REUSED":
      return REQUEST_ID_REUSED;
    case "TAKEN":
      throw new StoreUnavailableError(`Cannot create session ${sessionId}: the id is taken`, "no");
    default:
      throw unexpected("create_session", status);
  }
}

function toCreated(partition: number, reply: ReplyList): CreateResult {
  const sessionId = reply.text(1);
  const evicted = reply.text(4);
  return {
    kind: "created",
    sessionId,
    nonce: reply.text(2),
    tokenDigest: reply.text(3),
    evicted: evicted === "" ? [] : evicted.split(" "),
    revision: decodeRevision(partition, reply.text(5)),
    record: decodeRecord({ partition, sessionId }, reply.bytes(6)),
    repeated: reply.text(7) === "repeated",
  };
}

function encodeCreate(command: CreateCommand): object {
  const { tenantId, subject, clientId, policy, device, tenantSessionsMax } = command;
  return {
    ...encodeRequest(command.request),
    claim: command.claim,
    event: command.eventId,
    token: command.tokenDigest,
    nonce: command.nonce,
    recovery: command.recoveryDigest,
    tenant: keyDigest(tenantId),
    client: keyDigest(tenantId, clientId),
    subject: subject === "" ? "" : keyDigest(tenantId, subject),
    tenant_id: tenantId,
    subject_id: subject,
    share: tenantSessionsMax === undefined ? undefined : partitionShare(tenantSessionsMax),
    ...encodeChecked(command.checked),
    ...encodePolicy(policy),
    ...encodeBinding(policy, device),
  };
}

function encodePolicy(policy: SessionPolicy): object {
  return {
    idle: policy.idleTimeoutMs,
    absolute: policy.absoluteTimeoutMs,
    touch: policy.touchIntervalMs,
    grace: policy.rotationGraceMs,
    window: policy.recoveryWindowMs,
    retention: policy.retentionMs,
    max: policy.maxSessionsPerSubject,
    action: policy.limitAction,
  };
}

function encodeChecked({ aal, amr, authenticatedAtMs }: CheckedFacts): object {
  return { aal, amr: JSON.stringify(amr), auth: authenticatedAtMs };
}

const MODE_LETTERS: Readonly<Record<BindingMode, string>> = { off: "o", warn: "w", enforce: "e" };

/** What is never compared is not kept; the device's id also serves to revoke by device. */
function encodeBinding({ binding }: SessionPolicy, device: CreateCommand["device"]): object {
  const modes = [binding.ipAddress, binding.userAgent, binding.deviceId];
  const isBound = modes.some((mode) => mode !== "off");
  return {
    device: device.id,
    ...(isBound ? { bind: modes.map((mode) => MODE_LETTERS[mode]).join("") } : {}),
    ...(binding.ipAddress === "off" ? {} : { ip: device.ipAddress }),
    ...(binding.userAgent === "off" ? {} : { agent: device.userAgent }),
  };
}

/** Replaces the facts of a live session. */
export async function updateSession(
  link: RedisLink,
  command: UpdateCommand,
): Promise<UpdateResult> {
  const { sessionId } = command;
  const of = subjectOf(sessionId);
  const reply = await mutate(link, {
    script: "update_session",
    attempt: "update a session",
    sessionId,
    command: {
      ...encodeRequest(command.request),
      ...link.auditArgument(command.audit),
      event: command.eventId,
      version: command.expectedVersion,
      invalidate: command.invalidateCaches,
    },
    facts: command.facts,
  });
  const status = reply.text(0);
  switch (status) {
    case "UPDATED":
      return {
        kind: "updated",
        revision: decodeRevision(of.partition, reply.text(1)),
        record: decodeRecord(of, reply.bytes(2)),
      };
    case "CONFLICT":
      return { kind: "version-conflict", version: reply.number(1) };
    case "NOT_LIVE":
      return { kind: "not-live", record: decodeRecord(of, reply.bytes(1)) };
    case "NOT_FOUND":
      return { kind: "not-found" };
    case "REUSED":
      return REQUEST_ID_REUSED;
    default:
      throw unexpected("update_session", status);
  }
}

/** Installs a successor token, or hands out the one that was installed. */
export async function rotateSession(
  link: RedisLink,
  command: RotateCommand,
): Promise<RotateResult> {
  const { sessionId, raised } = command;
  const reply = await mutate(link, {
    script: "rotate_session",
    attempt: "rotate a token",
    sessionId,
    command: {
      ...encodeRequest(command.request),
      ...link.auditArgument(command.audit),
      event: command.eventId,
      presented: command.presentedDigest,
      trigger: command.trigger,
      successor: command.successorDigest,
      nonce: command.nonce,
      recovery: command.recoveryDigest,
      ...encodeTenants(command.tenantIds),
      ...(raised === undefined
        ? {}
        : { version: raised.expectedVersion, ...encodeChecked(raised.checked) }),
    },
    facts: raised?.facts,
  });
  const status = reply.text(0);
  switch (status) {
    case "ROTATED":
      return toRotated(subjectOf(sessionId), reply);
    case "REFUSED":
      return toRefused(partitionOf(sessionId), reply);
    case "CONFLICT":
      return { kind: "version-conflict", version: reply.number(1) };
    case "SUPERSEDED":
      return { kind: "superseded", sessionId };
    case "REUSED":
      return REQUEST_ID_REUSED;
    default:
      throw unexpected("rotate_session", status);
  }
}

function toRotated(of: Subject, reply: ReplyList): RotateResult {
  return {
    kind: "rotated",
    nonce: reply.text(1),
    successorDigest: reply.text(2),
    revision: decodeRevision(of.partition, reply.text(3)),
    previousValidForMs: reply.number(4),
    record: decodeRecord(of, reply.bytes(5)),
  };
}

function toRefused(partition: number, reply: ReplyList): RotateResult {
  const revision = reply.text(2);
  return {
    kind: "refused",
    outcome: parseOutcome(reply.text(1)),
    end: decodeEnd(reply.bytes(3)),
    revision: revision === "" ? undefined : decodeRevision(partition, revision),
  };
}

/** Ends a live session because another took over from it. */
export async function replaceSession(
  link: RedisLink,
  command: ReplaceCommand,
): Promise<ReplaceResult> {
  const reply = await mutate(link, {
    script: "replace_session",
    attempt: "replace a session",
    sessionId: command.sessionId,
    command: {
      ...link.auditArgument(command.audit),
      event: command.eventId,
      presented: command.presentedDigest,
      successor: command.successorId,
    },
  });
  const status = reply.text(0);
  switch (status) {
    case "REPLACED":
      return {
        kind: "replaced",
        revision: decodeRevision(partitionOf(command.sessionId), reply.text(1)),
      };
    case "REFUSED":
      return {
        kind: "refused",
        outcome: parseOutcome(reply.text(1)),
        end: decodeEnd(reply.bytes(2)),
      };
    default:
      throw unexpected("replace_session", status);
  }
}

function subjectOf(sessionId: string): Subject {
  return { partition: partitionOf(sessionId), sessionId };
}
