import type { EventTarget, RevocationEvent } from "../../session/event.js";
import type {
  InitiatingEntity,
  RevocationReason,
  RotationTrigger,
  SessionEnd,
  ValidationOutcome,
} from "../../session/outcome.js";
import type { Revision } from "../../session/revision.js";
import type { IncidentMode } from "../incident.js";
import type { ResumeVerdict } from "../revocation-log.js";
import type { BindingField, SessionRecord, ValidateReply } from "../session-store.js";
import { PackedReader } from "./packed.js";
import type { Reply } from "./scripts.js";

/*
 * What the scripts answer, as domain types. Replies are checked as they are read:
 * one that has another shape than its script's header says is an error here and
 * not a wrong answer later.
 *
 * A word that this version does not know was written by a newer one beside it, in
 * a rolling upgrade. Where it only explains, it reads as "unspecified".
 */

/** The outcomes by the number that lib/session.lua gives them. */
const OUTCOMES: readonly ValidationOutcome[] = [
  "valid",
  "not-found",
  "expired-idle",
  "expired-absolute",
  "revoked",
  "rotated",
  "binding-mismatch",
  "insufficient-aal",
  "authentication-too-old",
];

const BEHIND = 255;

const REASONS: readonly RevocationReason[] = [
  "unspecified",
  "user-logout",
  "admin",
  "credential-change",
  "account-disabled",
  "limit-exceeded",
  "token-reuse",
  "security-policy",
  "client-disconnect",
  "replaced",
];

const ENTITIES: readonly InitiatingEntity[] = ["unspecified", "admin", "user", "policy", "system"];

const TRIGGERS: readonly RotationTrigger[] = [
  "periodic",
  "login",
  "reauthentication",
  "privilege-change",
  "credential-change",
];

const VERDICTS: readonly ResumeVerdict[] = ["continue", "too-old", "history-forked", "behind"];

const STATES = ["active", "revoked", "expired"] as const;

const FLAG_AUTHENTICATED = 1;
const FLAG_GRACE = 2;
const FLAG_END = 4;
const WARNINGS: readonly (readonly [flag: number, field: BindingField])[] = [
  [8, "ip_address"],
  [16, "user_agent"],
  [32, "device_id"],
];

/** A script's list reply, read by position. */
export class ReplyList {
  readonly #items: readonly Reply[];

  constructor(reply: Reply | undefined) {
    if (!isList(reply)) {
      throw new TypeError("Cannot read a script's reply: it is not a list");
    }
    this.#items = reply;
  }

  get length(): number {
    return this.#items.length;
  }

  /** A string as bytes. */
  bytes(position: number): Buffer {
    return toBytes(this.#items[position]);
  }

  /** A string as text. */
  text(position: number): string {
    return this.bytes(position).toString("utf8");
  }

  /** A whole number that was written as text. */
  number(position: number): number {
    return toNumber(this.text(position));
  }

  /** A list inside the list. */
  list(position: number): ReplyList {
    return new ReplyList(this.#items[position]);
  }
}

function isList(reply: Reply | undefined): reply is readonly Reply[] {
  return Array.isArray(reply);
}

/** A string reply, as bytes. */
export function toBytes(reply: Reply | undefined): Buffer {
  if (!Buffer.isBuffer(reply)) {
    throw new TypeError("Cannot read a script's reply: it is not a string");
  }
  return reply;
}

function toNumber(text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value)) {
    throw new TypeError(`Cannot read ${JSON.stringify(text)} as a whole number`);
  }
  return value;
}

/** A revision as the scripts write it, `<generation>-<sequence>`. */
export function encodeRevision({ generation, sequence }: Revision): string {
  return `${generation}-${sequence}`;
}

/** The reverse of `encodeRevision`. */
export function decodeRevision(partition: number, text: string): Revision {
  const dash = text.indexOf("-");
  return {
    partition,
    generation: toNumber(text.slice(0, dash)),
    sequence: toNumber(text.slice(dash + 1)),
  };
}

/** An outcome by its number. */
export function decodeOutcome(code: number | undefined): ValidationOutcome {
  const outcome = OUTCOMES[code ?? -1];
  if (outcome === undefined) {
    throw new TypeError(`Cannot read ${code} as an outcome`);
  }
  return outcome;
}

/** An outcome by its name. */
export function parseOutcome(text: string): ValidationOutcome {
  return decodeOutcome(OUTCOMES.findIndex((outcome) => outcome === text));
}

/** A verdict by its name. */
export function parseVerdict(text: string): ResumeVerdict {
  const verdict = VERDICTS.find((known) => known === text);
  if (verdict === undefined) {
    throw new TypeError(`Cannot read ${JSON.stringify(text)} as a verdict`);
  }
  return verdict;
}

/** A reason by its name; "unspecified" where this version does not know it. */
export function parseReason(text: string | undefined): RevocationReason {
  return REASONS.find((reason) => reason === text) ?? "unspecified";
}

/** An entity by its name; "unspecified" where this version does not know it. */
export function parseEntity(text: string | undefined): InitiatingEntity {
  return ENTITIES.find((entity) => entity === text) ?? "unspecified";
}

/** Which session of which partition a packed reply speaks of. */
export interface Subject {
  readonly partition: number;
  readonly sessionId: string;
}

/** A packed record. */
export function decodeRecord(of: Subject, packed: Buffer): SessionRecord {
  return readRecord(of, new PackedReader(packed));
}

/** A packed end, or undefined where there is none. */
export function decodeEnd(packed: Buffer): SessionEnd | undefined {
  return packed.length === 0 ? undefined : readEnd(new PackedReader(packed));
}

function readEnd(reader: PackedReader): SessionEnd {
  const atMs = reader.number();
  const reason = parseReason(reader.text());
  const initiatingEntity = parseEntity(reader.text());
  return { reason, atMs, initiatingEntity, reasonUser: reader.text() };
}

function readRecord({ partition, sessionId }: Subject, reader: PackedReader): SessionRecord {
  const state = STATES[reader.byte()] ?? "revoked";
  const createdAtMs = reader.number();
  const lastSeenAtMs = reader.number();
  const idleTimeoutMs = reader.number();
  const absoluteDeadlineMs = reader.number();
  const updatedAtMs = reader.number();
  const version = reader.number();
  const issued = { partition, generation: reader.number(), sequence: reader.number() };
  const nowMs = reader.number();
  const end = state === "active" ? undefined : readEnd(reader);
  return {
    sessionId,
    facts: reader.rest(),
    state,
    createdAtMs,
    lastSeenAtMs,
    idleTimeoutMs,
    absoluteDeadlineMs,
    updatedAtMs,
    version,
    issued,
    end,
    nowMs,
  };
}

/** The answer for one token, or "behind" where the log ends before what the caller has seen. */
export function decodeAnswer(of: Subject, packed: Buffer): ValidateReply | "behind" {
  const reader = new PackedReader(packed);
  const code = reader.byte();
  if (code === BEHIND) {
    return "behind";
  }
  const outcome = decodeOutcome(code);
  const flags = reader.byte();
  const asOf = {
    partition: of.partition,
    generation: reader.number(),
    sequence: reader.number(),
  };
  const authenticatedAtMs = (flags & FLAG_AUTHENTICATED) === 0 ? undefined : reader.number();
  const graceLeftMs = (flags & FLAG_GRACE) === 0 ? undefined : reader.number();
  const end = (flags & FLAG_END) === 0 ? undefined : readEnd(reader);
  return {
    outcome,
    asOf,
    record: outcome === "valid" ? readRecord(of, reader) : undefined,
    authenticatedAtMs,
    graceLeftMs,
    end,
    bindingWarnings:
      flags < 8 ? [] : WARNINGS.filter(([flag]) => (flags & flag) !== 0).map(([, field]) => field),
  };
}

/** Fields and values in turn. */
export function readFields(list: ReplyList): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (let position = 0; position + 1 < list.length; position += 2) {
    fields.set(list.text(position), list.text(position + 1));
  }
  return fields;
}

/** An incident mode as a pull tells it, or undefined where none is running. */
export function decodeIncident(text: string): IncidentMode | undefined {
  const [left = "", staleness = "", caching, creating] = text.split(" ");
  return left === ""
    ? undefined
    : {
        leftMs: toNumber(left),
        maxStalenessMs: staleness === "-" ? undefined : toNumber(staleness),
        stopCaching: caching === "1",
        stopCreating: creating === "1",
      };
}

/** A log entry as XRANGE gives it: its id, then its fields and values in turn. */
export function decodeEvent(partition: number, entry: ReplyList): RevocationEvent {
  const fields = readFields(entry.list(1));
  const revision = decodeRevision(partition, entry.text(0));
  const target = decodeTarget(fields);
  const createdBeforeMs = target.kind === "tenant" ? target.createdBeforeMs : undefined;
  const isCutoff = target.kind !== "session" && createdBeforeMs === undefined;
  return {
    revision,
    eventId: fields.get("id") ?? "",
    kind: fields.get("kind") === "changed" ? "changed" : "revoked",
    trigger: TRIGGERS.find((trigger) => trigger === fields.get("trigger")),
    target,
    cutoff: isCutoff ? revision : undefined,
    tenantId: fields.get("tenant") ?? "",
    reason: parseReason(fields.get("reason")),
    initiatingEntity: parseEntity(fields.get("entity")),
    atMs: toNumber(fields.get("at") ?? ""),
  };
}

function decodeTarget(fields: ReadonlyMap<string, string>): EventTarget {
  const on = fields.get("on");
  switch (on) {
    case "session":
      return { kind: "session", sessionId: fields.get("session") ?? "" };
    case "subject": {
      const except = fields.get("except") ?? "";
      return {
        kind: "subject",
        subject: fields.get("subject") ?? "",
        except: except === "" ? [] : [except],
      };
    }
    case "tenant": {
      const before = fields.get("before") ?? "";
      return {
        kind: "tenant",
        clientId: fields.get("client") ?? "",
        createdBeforeMs: before === "" ? undefined : toNumber(before),
      };
    }
    case "all":
      return { kind: "all" };
    case undefined:
    default:
      throw new TypeError(`Cannot read an event on ${JSON.stringify(on)}`);
  }
}
