import type { InitiatingEntity, TouchSessionsRequest_Item } from "@coatcheck/proto";
import {
  CreateSessionRequest,
  GetSessionRequest,
  ListSessionsRequest,
  RevocationReason,
  RevokeSessionRequest,
  RevokeSubjectSessionsRequest,
  RotateSessionRequest,
  RotationTrigger,
  TouchSessionsRequest,
  UpdateSessionRequest,
  ValidateSessionRequest,
} from "@coatcheck/proto";
import { describe, expect, it } from "vitest";

import { BATCH_RULES } from "#server/rpc/batch-validate.js";
import { brokenRule, CLOCK_SKEW_MS, enforceRules, type RuleTable } from "#server/rpc/rules.js";
import {
  attributesFit,
  GET_RULES,
  LIST_RULES,
  REVOKE_RULES,
  REVOKE_SUBJECT_RULES,
  timedRules,
  TOUCH_ITEM_RULES,
  TOUCH_RULES,
  UPDATE_RULES,
  VALIDATE_RULES,
} from "#server/rpc/validate.js";

const NOW_MS = 1_800_000_000_000;
const SESSION_ID = `0f${"a".repeat(22)}`;
const timed = timedRules(() => NOW_MS);

interface Subject {
  readonly name: string;
  readonly table: RuleTable<never>;
  readonly valid: object;
}

/** A message that breaks no rule, for each table. */
const SUBJECTS: readonly Subject[] = [
  { name: "CreateSession", table: timed.create, valid: createRequest() },
  { name: "RotateSession", table: timed.rotate, valid: rotateRequest() },
  {
    name: "ValidateSession",
    table: VALIDATE_RULES,
    valid: ValidateSessionRequest.create({ tenantId: "t", binding: {}, requirements: {} }),
  },
  { name: "BatchValidateSessions", table: BATCH_RULES, valid: { items: [] } },
  { name: "TouchSessions", table: TOUCH_RULES, valid: TouchSessionsRequest.create() },
  { name: "TouchSessions item", table: TOUCH_ITEM_RULES, valid: touchItem() },
  { name: "GetSession", table: GET_RULES, valid: { sessionId: SESSION_ID } },
  {
    name: "ListSessions",
    table: LIST_RULES,
    valid: ListSessionsRequest.create({ tenantId: "t", subject: "s" }),
  },
  {
    name: "UpdateSession",
    table: UPDATE_RULES,
    valid: UpdateSessionRequest.create({ sessionId: SESSION_ID }),
  },
  { name: "RevokeSession", table: REVOKE_RULES, valid: revokeRequest() },
  {
    name: "RevokeSubjectSessions",
    table: REVOKE_SUBJECT_RULES,
    valid: RevokeSubjectSessionsRequest.create({ tenantId: "t", subject: "s" }),
  },
];

describe.each(SUBJECTS)("the rules of $name", ({ table, valid }) => {
  it("accept a message that breaks none", () => {
    expect(brokenField(table, valid)).toBeUndefined();
  });

  const limited = table.flatMap(({ field, limit }) =>
    limit === undefined ? [] : [{ field, limit }],
  );

  // S-43: made from the table, so that no field can be forgotten.
  it.each(limited)("hold $field at its bounds and one beyond", ({ field, limit }) => {
    const values = {
      bytes: (size: number) => "x".repeat(size),
      items: (size: number) => Array.from({ length: size }, () => "x"),
      value: (size: number) => size,
    };
    function at(size: number) {
      return brokenField(table, withField(valid, field, values[limit.kind](size)));
    }

    expect(at(limit.max + 1)).toBe(field);
    expect(at(limit.max)).not.toBe(field);
    expect(at(limit.min)).not.toBe(field);
    if (limit.min > 0) expect(at(limit.min - 1)).toBe(field);
  });

  const texts = limited.filter(
    ({ field, limit }) => limit.kind === "bytes" && limit.max % 2 === 0 && field !== "request_id",
  );

  it.each(texts)("count $field in UTF-8 bytes", ({ field, limit }) => {
    const half = "é".repeat(limit.max / 2);

    expect(brokenField(table, withField(valid, field, half))).toBeUndefined();
    expect(brokenField(table, withField(valid, field, `${half}é`))).toBe(field);
  });

  it("name field and bound of what they refuse, and never the value", () => {
    for (const { field, limit } of limited) {
      if (limit.kind !== "bytes") continue;
      const canary = "canary".repeat(limit.max);
      expect(() => {
        enforceRules(table as RuleTable<object>, withField(valid, field, canary));
      }).toThrow(expect.not.stringContaining("canary") as Error);
    }
  });
});

describe("identifiers", () => {
  const fields = ["tenant_id", "subject", "client_id", "origin", "actor", "device.id", "policy"];

  it.each(fields)("%s takes no control character (S-45, I-05)", (field) => {
    const table = timed.create as RuleTable<never>;
    for (const bad of ["a\nb", "a\u0000b", "\u001b[31m", "a\u0085b", "a\ufffdb"]) {
      expect(brokenField(table, withField(createRequest(), field, bad))).toBe(field);
    }
    expect(brokenField(table, withField(createRequest(), field, "Zoë {x} 日本"))).toBeUndefined();
  });
});

describe("request ids", () => {
  it("are at most 64 printable ASCII characters", () => {
    function at(requestId: string) {
      return brokenRule(timed.create, createRequest({ requestId }))?.field;
    }

    expect(at("~".repeat(64))).toBeUndefined();
    expect(at("~".repeat(65))).toBe("request_id");
    expect(at("é")).toBe("request_id");
    expect(at("a\nb")).toBe("request_id");
  });
});

describe("enums", () => {
  it("refuse a number that the contract does not know (S-43)", () => {
    function at(fields: Partial<RevokeSessionRequest>) {
      return brokenRule(REVOKE_RULES, { ...revokeRequest(), ...fields })?.field;
    }

    expect(at({ reason: 10 as RevocationReason })).toBe("reason");
    expect(at({ reason: -1 as RevocationReason })).toBe("reason");
    expect(at({ initiatingEntity: 5 as InitiatingEntity })).toBe("initiating_entity");
    expect(at({ propagation: 4 as RevokeSessionRequest["propagation"] })).toBe("propagation");
    expect(at({ reason: RevocationReason.REPLACED })).toBeUndefined();
  });

  it("need a rotation trigger: read as PERIODIC it would switch the fixation defence off", () => {
    expect(brokenRule(timed.rotate, rotateRequest({ trigger: 0 }))?.field).toBe("trigger");
  });
});

describe("instants and durations", () => {
  function createdAt(seconds: bigint, nanos = 0) {
    return brokenRule(timed.create, createRequest({ authenticatedAt: { seconds, nanos } }))?.field;
  }

  it("allow authenticated_at no further ahead than clocks are skewed", () => {
    const latest = BigInt((NOW_MS + CLOCK_SKEW_MS) / 1000);

    expect(createdAt(latest)).toBeUndefined();
    expect(createdAt(latest + 1n)).toBe("authenticated_at");
    expect(createdAt(0n)).toBeUndefined();
    expect(createdAt(-1n)).toBe("authenticated_at");
    expect(createdAt(0n, 1_000_000_000)).toBe("authenticated_at");
    expect(createdAt(2n ** 63n - 1n)).toBe("authenticated_at");
  });

  it("allow no negative and no endless duration", () => {
    function at(seconds: bigint, nanos = 0) {
      return brokenRule(TOUCH_ITEM_RULES, { ...touchItem(), idleFor: { seconds, nanos } })?.field;
    }

    expect(at(0n)).toBeUndefined();
    expect(at(315_576_000_000n)).toBeUndefined();
    expect(at(315_576_000_001n)).toBe("items.idle_for");
    expect(at(-1n)).toBe("items.idle_for");
    expect(at(0n, -1)).toBe("items.idle_for");
  });
});

describe("secrets and digests", () => {
  it.each([1, 31, 33, 64])("a retry_secret of %d bytes is refused", (size) => {
    const request = createRequest({ retrySecret: Buffer.alloc(size) });
    expect(brokenRule(timed.create, request)?.field).toBe("retry_secret");
  });

  it.each([0, 32])("a retry_secret of %d bytes is taken", (size) => {
    expect(
      brokenRule(timed.create, createRequest({ retrySecret: Buffer.alloc(size) })),
    ).toBeUndefined();
  });

  it.each([0, 31, 33])("a token_sha256 of %d bytes is refused", (size) => {
    const item = { ...touchItem(), tokenSha256: Buffer.alloc(size) };
    expect(brokenRule(TOUCH_ITEM_RULES, item)?.field).toBe("items.token_sha256");
  });
});

describe("revisions", () => {
  function at(minRevision: ValidateSessionRequest["minRevision"]) {
    return brokenRule(VALIDATE_RULES, ValidateSessionRequest.create({ tenantId: "t", minRevision }))
      ?.field;
  }

  it("stay below 16 partitions and 2^53", () => {
    const top = 2n ** 53n - 1n;

    expect(at({ partition: 15, generation: top, sequence: top })).toBeUndefined();
    expect(at({ partition: 16, generation: 0n, sequence: 0n })).toBe("min_revision");
    expect(at({ partition: 0, generation: top + 1n, sequence: 0n })).toBe("min_revision");
    expect(at({ partition: 0, generation: 0n, sequence: 2n ** 64n - 1n })).toBe("min_revision");
  });
});

describe("authentication methods", () => {
  it.each(["", "a b", "x".repeat(33), "é", "a\n"])("refuse %j", (method) => {
    expect(brokenRule(timed.create, createRequest({ amr: [method] }))?.field).toBe("amr");
  });

  it("take the names of RFC 8176 and URNs", () => {
    expect(
      brokenRule(timed.create, createRequest({ amr: ["pwd", "urn:x.y-z_1"] })),
    ).toBeUndefined();
  });
});

describe("attributes", () => {
  it("count keys and values together, to the byte (S-13)", () => {
    expect(attributesFit(new Map([["k".repeat(128), "v".repeat(8064)]]))).toBe(true);
    expect(attributesFit(new Map([["k".repeat(128), "v".repeat(8065)]]))).toBe(false);
  });

  it("are at most 64, under keys of 1 to 128 bytes", () => {
    function many(count: number) {
      return new Map(Array.from({ length: count }, (_, index) => [`k${index}`, ""]));
    }
    function at(attributes: Map<string, string>) {
      return brokenRule(timed.create, createRequest({ attributes }))?.field;
    }

    expect(at(many(64))).toBeUndefined();
    expect(at(many(65))).toBe("attributes");
    expect(at(new Map([["", "v"]]))).toBe("attributes");
    expect(at(new Map([["k".repeat(129), "v"]]))).toBe("attributes");
    expect(at(new Map([["__proto__", "v"]]))).toBeUndefined();
  });

  it("cannot be set and removed by one update", () => {
    const request = UpdateSessionRequest.create({ sessionId: SESSION_ID, remove: ["a"] });
    request.set.set("a", "1");

    expect(brokenRule(UPDATE_RULES, request)?.field).toBe("remove");
  });
});

describe("session ids", () => {
  it.each([
    "",
    "10" + "a".repeat(22),
    "0F" + "a".repeat(22),
    "0f" + "a".repeat(21),
    `${SESSION_ID}a`,
  ])("refuse %j", (sessionId) => {
    expect(brokenRule(GET_RULES, GetSessionRequest.create({ sessionId }))?.field).toBe(
      "session_id",
    );
  });
});

function createRequest(fields: Partial<CreateSessionRequest> = {}): CreateSessionRequest {
  return { ...CreateSessionRequest.create({ tenantId: "t", device: {} }), ...fields };
}

function rotateRequest(fields: Partial<RotateSessionRequest> = {}): RotateSessionRequest {
  return { ...RotateSessionRequest.create({ trigger: RotationTrigger.LOGIN }), ...fields };
}

function revokeRequest(): RevokeSessionRequest {
  return RevokeSessionRequest.create({ target: { $case: "sessionId", value: SESSION_ID } });
}

function touchItem(): TouchSessionsRequest_Item {
  return { sessionId: SESSION_ID, tokenSha256: Buffer.alloc(32), idleFor: undefined };
}

function brokenField(table: RuleTable<never>, message: object): string | undefined {
  return brokenRule(table as RuleTable<object>, message)?.field;
}

/** A copy of the message with another value at a path as the contract spells it. */
function withField(message: object, path: string, value: unknown): object {
  const [head = "", ...rest] = path.split(".");
  const key = head.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const inner = (message as Record<string, object>)[key] ?? {};
  return { ...message, [key]: rest.length === 0 ? value : withField(inner, rest.join("."), value) };
}
