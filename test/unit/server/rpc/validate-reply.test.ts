import {
  Session,
  SessionState,
  ValidateSessionResponse,
  ValidationOutcome,
} from "@coatcheck/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { millisToDuration, toWireRevision } from "#server/rpc/convert.js";
import { encodeFacts, sessionOf } from "#server/rpc/session-codec.js";
import {
  encodeMalformedReply,
  encodeValidateReply,
  validForMs,
} from "#server/rpc/validate-reply.js";
import type { SessionRecord, ValidateReply } from "#server/store/session-store.js";

const NOW_MS = 1_800_000_000_123;
const instant = fc.integer({ min: 0, max: 4_000_000_000_000 });
const revision = fc.record({
  partition: fc.integer({ min: 0, max: 15 }),
  generation: fc.maxSafeNat(),
  sequence: fc.maxSafeNat(),
});
const facts = fc
  .record({
    sessionId: fc.string(),
    subject: fc.string(),
    amr: fc.array(fc.string(), { maxLength: 3 }),
    aal: fc.integer({ min: 0, max: 3 }),
    origin: fc.string({ maxLength: 20_000 }),
  })
  .map((fields) => Session.create(fields));

const record = fc
  .record({
    facts: facts.map(encodeFacts),
    createdAtMs: instant,
    lastSeenAtMs: instant,
    idleTimeoutMs: fc.integer({ min: 0, max: 1_000_000_000 }),
    absoluteDeadlineMs: instant,
    updatedAtMs: instant,
    version: fc.maxSafeNat().map((version) => Math.max(1, version)),
    issued: revision,
    nowMs: instant,
  })
  .map((fields): SessionRecord => ({ ...fields, sessionId: "", state: "active", end: undefined }));

const reply = fc
  .record({
    asOf: revision,
    record,
    authenticatedAtMs: fc.option(instant, { nil: undefined }),
    graceLeftMs: fc.option(fc.integer({ min: 0, max: 600_000 }), { nil: undefined }),
    bindingWarnings: fc.subarray(["ip_address", "user_agent", "device_id"] as const),
  })
  .map((fields): ValidateReply => ({ ...fields, outcome: "valid", end: undefined }));

describe("a spliced reply", () => {
  it("decodes to what the generated encoder would have said, for any record", () => {
    fc.assert(
      fc.property(reply, fc.boolean(), (given, cacheable) => {
        if (given.record === undefined) throw new Error("no record");
        const bytes = encodeValidateReply(given, { maxStalenessMs: 3000, cacheable });

        expect(ValidateSessionResponse.decode(bytes)).toEqual({
          outcome: ValidationOutcome.VALID,
          session: sessionOf(given.record),
          asOf: toWireRevision(given.asOf),
          issued: toWireRevision(given.record.issued),
          validFor: millisToDuration(validForMs(given.record, given.graceLeftMs)),
          superseded: given.graceLeftMs !== undefined,
          authenticationAge:
            given.authenticatedAtMs === undefined
              ? undefined
              : millisToDuration(Math.max(0, given.record.nowMs - given.authenticatedAtMs)),
          cacheable,
          maxStaleness: { seconds: 3n, nanos: 0 },
          ended: undefined,
          bindingWarnings: given.bindingWarnings,
        });
      }),
      { numRuns: 500 },
    );
  });

  it("is not changed by the replies made after it (the buffer they share)", () => {
    fc.assert(
      fc.property(reply, reply, (first, second) => {
        const terms = { maxStalenessMs: 3000, cacheable: true };
        const bytes = encodeValidateReply(first, terms);
        const before = Buffer.from(bytes);

        encodeValidateReply(second, terms);

        expect(bytes.equals(before)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a refusal", () => {
  it("carries no session, whatever the store sent along", () => {
    const end = {
      reason: "admin",
      atMs: NOW_MS,
      initiatingEntity: "admin",
      reasonUser: "x",
    } as const;
    const revision = { partition: 1, generation: 2, sequence: 3 };
    const bytes = encodeValidateReply(
      {
        asOf: revision,
        record: sample(),
        authenticatedAtMs: NOW_MS,
        graceLeftMs: 1,
        bindingWarnings: [],
        outcome: "revoked",
        end,
      },
      { maxStalenessMs: 3000, cacheable: true },
    );

    const decoded = ValidateSessionResponse.decode(bytes);

    expect(decoded.session).toBeUndefined();
    expect(decoded).toMatchObject({
      outcome: ValidationOutcome.REVOKED,
      cacheable: false,
      ended: { reasonUser: "x" },
    });
  });

  it("of a malformed token tells nothing but the bound", () => {
    expect(ValidateSessionResponse.decode(encodeMalformedReply(1500))).toEqual(
      ValidateSessionResponse.create({
        outcome: ValidationOutcome.MALFORMED,
        maxStaleness: { seconds: 1n, nanos: 500_000_000 },
      }),
    );
  });
});

describe("valid_for", () => {
  function at(fields: Partial<SessionRecord>, graceLeftMs?: number): number {
    return validForMs(
      {
        ...sample(),
        nowMs: 1000,
        lastSeenAtMs: 1000,
        idleTimeoutMs: 500,
        absoluteDeadlineMs: 9000,
        ...fields,
      },
      graceLeftMs,
    );
  }

  it("is the least of idle, absolute and grace, and never negative", () => {
    expect(at({})).toBe(500);
    expect(at({ idleTimeoutMs: 0 })).toBe(8000);
    expect(at({ absoluteDeadlineMs: 1200 })).toBe(200);
    expect(at({}, 30)).toBe(30);
    expect(at({ absoluteDeadlineMs: 900 })).toBe(0);
  });
});

describe("facts", () => {
  it("are the same bytes whatever order the attributes came in", () => {
    const one = Session.create({});
    one.attributes.set("a", "1").set("b", "2");
    const two = Session.create({});
    two.attributes.set("b", "2").set("a", "1");

    expect(encodeFacts(one).equals(encodeFacts(two))).toBe(true);
  });

  it("read as an active session with the record's own fields", () => {
    expect(sessionOf(sample()).state).toBe(SessionState.ACTIVE);
    expect(sessionOf({ ...sample(), idleTimeoutMs: 0 }).idleExpiresAt).toBeUndefined();
  });
});

function sample(): SessionRecord {
  const [made] = fc.sample(record, 1);
  if (made === undefined) throw new Error("no sample");
  return made;
}
