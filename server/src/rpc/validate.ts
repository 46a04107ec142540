import {
  type CreateSessionRequest,
  type Device,
  type GetSessionRequest,
  InitiatingEntity,
  type ListSessionsRequest,
  Propagation,
  RevocationReason,
  type RevokeSessionRequest,
  type RevokeSubjectSessionsRequest,
  type RotateSessionRequest,
  RotationTrigger,
  type TouchSessionsRequest,
  type TouchSessionsRequest_Item,
  TouchMode,
  type UpdateSessionRequest,
  type ValidateSessionRequest,
} from "@coatcheck/proto";

import {
  amr,
  duration,
  freeText,
  identifier,
  inRange,
  itemCount,
  knownEnum,
  pastInstant,
  plain,
  requestId,
  revision,
  type RuleTable,
  sessionId,
  utf8Bytes,
} from "./rules.js";

/** Attributes of one session: keys and values together, in UTF-8 bytes. */
export const ATTRIBUTES_BYTES_MAX = 8192;
/** Attributes of one session, in number. Above it the count itself is the cost. */
export const ATTRIBUTES_MAX = 64;
/** What `attributesFit` demands, in words. */
export const ATTRIBUTES_BOUND = `at most ${ATTRIBUTES_MAX} attributes and ${ATTRIBUTES_BYTES_MAX} bytes, keys and values together`;
/** Items of a batch: 256 replies of 320 bytes stay far below what a client accepts. */
export const BATCH_ITEMS_MAX = 256;
/** Uses in one TouchSessions: 71 kB, below the message limit (S-40). */
export const TOUCH_ITEMS_MAX = 1000;
/** Sessions on one page. */
export const PAGE_SIZE_MAX = 500;

const ATTRIBUTE_KEY_BYTES_MAX = 128;
const TENANT_BYTES = { bytesMin: 1, bytesMax: 128 };
const SUBJECT_BYTES_MAX = 256;
const NAME_BYTES = { bytesMax: 128 };
const SENTENCE_BYTES = { bytesMax: 512 };

/** The tables of the messages that need to know what time it is. */
export interface TimedRules {
  readonly create: RuleTable<CreateSessionRequest>;
  readonly rotate: RuleTable<RotateSessionRequest>;
}

/** The rules of CreateSession and RotateSession, whose instants may not lie in the future. */
export function timedRules(nowMs: () => number): TimedRules {
  return {
    create: [
      identifier("tenant_id", (m) => m.tenantId, TENANT_BYTES),
      identifier("subject", (m) => m.subject, { bytesMax: SUBJECT_BYTES_MAX }),
      identifier("policy", (m) => m.policy, NAME_BYTES),
      identifier("client_id", (m) => m.clientId, NAME_BYTES),
      ...device((m: CreateSessionRequest) => m.device),
      identifier("origin", (m) => m.origin, NAME_BYTES),
      inRange("aal", (m) => m.aal, { min: 0, max: 3 }),
      ...amr("amr", (m: CreateSessionRequest) => m.amr),
      pastInstant("authenticated_at", (m) => m.authenticatedAt, nowMs),
      ...attributes("attributes", (m: CreateSessionRequest) => m.attributes),
      identifier("actor", (m) => m.actor, { bytesMax: SUBJECT_BYTES_MAX }),
      requestId((m) => m.requestId),
      plain("retry_secret", "32 bytes, or absent", ({ retrySecret }) =>
        [0, 32].includes(retrySecret.length),
      ),
    ],
    rotate: [
      knownEnum("trigger", (m) => m.trigger, withoutUnspecified(RotationTrigger)),
      identifier("bind_subject", (m) => m.bindSubject, { bytesMax: SUBJECT_BYTES_MAX }),
      inRange("aal", (m) => m.aal, { min: 0, max: 3 }),
      ...amr("amr", (m: RotateSessionRequest) => m.amr),
      pastInstant("authenticated_at", (m) => m.authenticatedAt, nowMs),
      requestId((m) => m.requestId),
      plain("bind_subject", "absent with PERIODIC", (m) => raisesNothing(m, m.bindSubject === "")),
      plain("aal", "absent with PERIODIC", (m) => raisesNothing(m, m.aal === 0)),
      plain("amr", "absent with PERIODIC", (m) => raisesNothing(m, m.amr.length === 0)),
      plain("authenticated_at", "absent with PERIODIC", (m) =>
        raisesNothing(m, m.authenticatedAt === undefined),
      ),
    ],
  };
}

/** ValidateSession, and each item of a batch. The token has no rule: MALFORMED is an answer. */
export const VALIDATE_RULES: RuleTable<ValidateSessionRequest> = [
  identifier("tenant_id", (m) => m.tenantId, TENANT_BYTES),
  knownEnum("touch", (m) => m.touch, TouchMode),
  itemCount("audience_client_ids", (m) => m.audienceClientIds, 16),
  plain("audience_client_ids", "client ids of 1 to 128 bytes", (m) =>
    m.audienceClientIds.every((id) => id !== "" && utf8Bytes(id) <= NAME_BYTES.bytesMax),
  ),
  freeText("binding.ip_address", (m) => m.binding?.ipAddress ?? "", { bytesMax: 64 }),
  freeText("binding.user_agent", (m) => m.binding?.userAgent ?? "", { bytesMax: 512 }),
  identifier("binding.device_id", (m) => m.binding?.deviceId ?? "", NAME_BYTES),
  inRange("requirements.min_aal", (m) => m.requirements?.minAal ?? 0, { min: 0, max: 3 }),
  duration("requirements.max_auth_age", (m) => m.requirements?.maxAuthAge),
  ...amr("requirements.required_amr", (m: ValidateSessionRequest) => requiredAmr(m)),
  revision("min_revision", (m) => m.minRevision),
];

/** The list of TouchSessions. */
export const TOUCH_RULES: RuleTable<TouchSessionsRequest> = [
  itemCount("items", (m) => m.items, TOUCH_ITEMS_MAX),
];

/** Each item of TouchSessions. */
export const TOUCH_ITEM_RULES: RuleTable<TouchSessionsRequest_Item> = [
  sessionId("items.session_id", (m) => m.sessionId),
  plain("items.token_sha256", "32 bytes", (m) => m.tokenSha256.length === 32),
  duration("items.idle_for", (m) => m.idleFor),
];

/** GetSession. */
export const GET_RULES: RuleTable<GetSessionRequest> = [
  sessionId("session_id", (m) => m.sessionId),
];

/** ListSessions. The page token is read by its own parser. */
export const LIST_RULES: RuleTable<ListSessionsRequest> = [
  identifier("tenant_id", (m) => m.tenantId, TENANT_BYTES),
  identifier("subject", (m) => m.subject, { bytesMin: 1, bytesMax: SUBJECT_BYTES_MAX }),
  inRange("page_size", (m) => m.pageSize, { min: 0, max: PAGE_SIZE_MAX }),
];

/** UpdateSession. What the attributes add up to is checked once they are merged. */
export const UPDATE_RULES: RuleTable<UpdateSessionRequest> = [
  sessionId("session_id", (m) => m.sessionId),
  ...attributes("set", (m: UpdateSessionRequest) => m.set),
  itemCount("remove", (m) => m.remove, ATTRIBUTES_MAX),
  plain("remove", "keys of 1 to 128 bytes", (m) => m.remove.every(isAttributeKey)),
  plain("remove", "without a key that is also set", (m) => !m.remove.some((key) => m.set.has(key))),
  plain(
    "expected_version",
    "below 2^53",
    (m) => m.expectedVersion === undefined || m.expectedVersion < 2n ** 53n,
  ),
  requestId((m) => m.requestId),
];

/** RevokeSession. A malformed token is `found: false`, a malformed session id a mistake. */
export const REVOKE_RULES: RuleTable<RevokeSessionRequest> = [
  plain("target", "a session_id or a token", (m) => m.target !== undefined),
  sessionIdIfNamed("session_id", (m: RevokeSessionRequest) =>
    m.target?.$case === "sessionId" ? m.target.value : undefined,
  ),
  ...cause<RevokeSessionRequest>(),
];

/** RevokeSubjectSessions. An empty device id would mean every session without a device. */
export const REVOKE_SUBJECT_RULES: RuleTable<RevokeSubjectSessionsRequest> = [
  identifier("tenant_id", (m) => m.tenantId, TENANT_BYTES),
  identifier("subject", (m) => m.subject, { bytesMin: 1, bytesMax: SUBJECT_BYTES_MAX }),
  sessionIdIfNamed("except_session_id", (m: RevokeSubjectSessionsRequest) =>
    m.scope?.$case === "exceptSessionId" ? m.scope.value : undefined,
  ),
  plain(
    "device_id",
    "1 to 128 bytes",
    ({ scope }) =>
      scope?.$case !== "deviceId" || (scope.value !== "" && utf8Bytes(scope.value) <= 128),
  ),
  ...cause<RevokeSubjectSessionsRequest>(),
];

/** Whether attributes fit into a session, keys and values counted together. */
export function attributesFit(attributes: ReadonlyMap<string, string>): boolean {
  let bytes = 0;
  for (const [key, value] of attributes) {
    bytes += utf8Bytes(key) + utf8Bytes(value);
  }
  return attributes.size <= ATTRIBUTES_MAX && bytes <= ATTRIBUTES_BYTES_MAX;
}

interface Caused {
  readonly reason: RevocationReason;
  readonly initiatingEntity: InitiatingEntity;
  readonly reasonAdmin: string;
  readonly reasonUser: string;
  readonly propagation: Propagation;
  readonly requestId: string;
}

function cause<Message extends Caused>(): RuleTable<Message> {
  return [
    knownEnum("reason", (m) => m.reason, RevocationReason),
    knownEnum("initiating_entity", (m) => m.initiatingEntity, InitiatingEntity),
    freeText("reason_admin", (m) => m.reasonAdmin, SENTENCE_BYTES),
    freeText("reason_user", (m) => m.reasonUser, SENTENCE_BYTES),
    knownEnum("propagation", (m) => m.propagation, Propagation),
    requestId((m) => m.requestId),
  ];
}

function device<Message>(read: (message: Message) => Device | undefined): RuleTable<Message> {
  return [
    identifier("device.id", (m) => read(m)?.id ?? "", NAME_BYTES),
    freeText("device.name", (m) => read(m)?.name ?? "", { bytesMax: 256 }),
    freeText("device.ip_address", (m) => read(m)?.ipAddress ?? "", { bytesMax: 64 }),
    freeText("device.user_agent", (m) => read(m)?.userAgent ?? "", { bytesMax: 512 }),
  ];
}

function attributes<Message>(
  field: string,
  read: (message: Message) => ReadonlyMap<string, string>,
): RuleTable<Message> {
  return [
    plain(field, ATTRIBUTES_BOUND, (m) => attributesFit(read(m))),
    plain(field, `under keys of 1 to ${ATTRIBUTE_KEY_BYTES_MAX} bytes`, (m) =>
      [...read(m).keys()].every(isAttributeKey),
    ),
  ];
}

function sessionIdIfNamed<Message>(
  field: string,
  read: (message: Message) => string | undefined,
): RuleTable<Message>[number] {
  const rule = sessionId(field, (m: Message) => read(m) ?? "");
  return { ...rule, holds: (m) => read(m) === undefined || rule.holds(m) };
}

function isAttributeKey(key: string): boolean {
  return key !== "" && utf8Bytes(key) <= ATTRIBUTE_KEY_BYTES_MAX;
}

function raisesNothing(message: RotateSessionRequest, isAbsent: boolean): boolean {
  return message.trigger !== RotationTrigger.PERIODIC || isAbsent;
}

function requiredAmr(message: ValidateSessionRequest): readonly string[] {
  return message.requirements?.requiredAmr ?? [];
}

function withoutUnspecified(known: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(known).filter(([name]) => name !== "UNSPECIFIED"));
}
