import { Buffer } from "node:buffer";
import {
  Any,
  ErrorInfo,
  ErrorReason,
  RetryInfo,
  RevocationEvent,
  RevocationEventKind,
  Session,
  SessionState,
  Status,
  SyncRevocationsResponse,
  ValidateSessionResponse,
  ValidationOutcome,
  WatchRevocationsResponse,
} from "@coatcheck/proto";
import { Metadata, status as Code } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { fromSyncResponse, fromWatchResponse } from "#client/transport/convert-events.js";
import { fromValidateResponse, toTouchRequest } from "#client/transport/convert-sessions.js";
import { fromSession, toDuration, toTimestamp } from "#client/transport/convert.js";
import { fromServiceError } from "#client/transport/status.js";

const ACTIVE = Session.create({
  sessionId: "00aaaaaaaaaaaaaaaaaaaaaa",
  state: SessionState.ACTIVE,
});

function serviceError(reason: string, code = Code.UNAVAILABLE, domain = "coatcheck") {
  const info = ErrorInfo.create({ reason, domain, metadata: new Map([["field", "subject"]]) });
  const value = Buffer.from(ErrorInfo.encode(info).finish());
  const detail = Any.create({ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value });
  const metadata = new Metadata();
  const trailer = Status.encode(Status.create({ code, details: [detail] })).finish();
  metadata.set("grpc-status-details-bin", Buffer.from(trailer));
  return Object.assign(new Error(), { code, details: "no", metadata });
}

describe("a failed call", () => {
  it.each(Object.keys(ErrorReason).filter((reason) => reason !== "UNSPECIFIED"))(
    "with reason %s has a reason of this library's",
    (reason) => {
      expect(fromServiceError("M", serviceError(reason)).reason).toBe(
        reason.toLowerCase().replaceAll("_", "-"),
      );
    },
  );

  it("carries what the authority added", () => {
    const error = fromServiceError(
      "CreateSession",
      serviceError("INVALID_FIELD", Code.INVALID_ARGUMENT),
    );

    expect(error).toMatchObject({ applied: "no", retryable: false });
    expect(error.message).toBe("CreateSession failed: no");
    expect(error.metadata).toEqual(new Map([["field", "subject"]]));
  });

  it("is judged by its code where its details are another service's, or none", () => {
    const foreign = serviceError("BEHIND", Code.UNAVAILABLE, "example.com");
    expect(fromServiceError("M", foreign)).toMatchObject({
      reason: "unreachable",
      applied: "unknown",
      retryable: true,
    });

    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff]));
    const bare = Object.assign(new Error(), {
      code: Code.DEADLINE_EXCEEDED,
      details: "",
      metadata,
    });
    expect(fromServiceError("M", bare)).toMatchObject({ reason: "timeout", retryable: false });
  });

  it.each([
    [Code.CANCELLED, "cancelled", "unknown"],
    [Code.UNKNOWN, "internal", "unknown"],
    [Code.INVALID_ARGUMENT, "invalid-field", "no"],
    [Code.DEADLINE_EXCEEDED, "timeout", "unknown"],
    [Code.NOT_FOUND, "internal", "unknown"],
    [Code.ALREADY_EXISTS, "internal", "unknown"],
    [Code.PERMISSION_DENIED, "caller-not-allowed", "no"],
    [Code.RESOURCE_EXHAUSTED, "overloaded", "unknown"],
    [Code.FAILED_PRECONDITION, "internal", "unknown"],
    [Code.ABORTED, "internal", "unknown"],
    [Code.OUT_OF_RANGE, "internal", "unknown"],
    [Code.UNIMPLEMENTED, "not-implemented", "no"],
    [Code.INTERNAL, "internal", "unknown"],
    [Code.UNAVAILABLE, "unreachable", "unknown"],
    [Code.DATA_LOSS, "internal", "unknown"],
    [Code.UNAUTHENTICATED, "caller-unknown", "no"],
  ])("without details, with code %i, is %s, applied %s", (code, reason, applied) => {
    const error = Object.assign(new Error(), { code, details: "", metadata: new Metadata() });
    const retryable = code === Code.UNAVAILABLE;

    expect(fromServiceError("M", error)).toMatchObject({ reason, applied, retryable });
  });

  it.each(["constructor", "toString", "__proto__", "A_NEW_ONE"])(
    "with the reason %s, which is none, is judged by its code",
    (reason) => {
      expect(fromServiceError("M", serviceError(reason))).toMatchObject({
        reason: "unreachable",
        applied: "unknown",
      });
    },
  );

  it("keeps its code's meaning where RetryInfo is all it has", () => {
    const value = Buffer.from(
      RetryInfo.encode({ retryDelay: { seconds: 1n, nanos: 500_000_000 } }).finish(),
    );
    const detail = Any.create({ typeUrl: "type.googleapis.com/google.rpc.RetryInfo", value });
    const code = Code.RESOURCE_EXHAUSTED;
    const metadata = new Metadata();
    const trailer = Status.encode(Status.create({ code, details: [detail] })).finish();
    metadata.set("grpc-status-details-bin", Buffer.from(trailer));
    const error = Object.assign(new Error(), { code, details: "", metadata });

    expect(fromServiceError("M", error)).toMatchObject({
      reason: "overloaded",
      retryAfterMs: 1_500,
    });
  });
});

describe("an answer", () => {
  it("of an unknown outcome is refused", () => {
    const response = ValidateSessionResponse.create({ outcome: ValidationOutcome.UNSPECIFIED });

    expect(() => fromValidateResponse(response)).toThrow("the outcome 0 is unknown");
  });

  it("without durations keeps nothing and grants nothing", () => {
    const response = ValidateSessionResponse.create({
      outcome: ValidationOutcome.VALID,
      session: ACTIVE,
    });

    expect(fromValidateResponse(response)).toMatchObject({
      validForMs: 0,
      maxStalenessMs: 0,
      cacheable: false,
      authenticationAgeMs: undefined,
    });
  });

  it("that is VALID without a session is refused", () => {
    const response = ValidateSessionResponse.create({ outcome: ValidationOutcome.VALID });

    expect(() => fromValidateResponse(response)).toThrow("the session is missing");
  });
});

describe("a session", () => {
  it("cannot be changed by one of those who share it", () => {
    const shared = fromSession({ ...ACTIVE, attributes: new Map([["plan", "pro"]]) });
    const attributes = shared.attributes as Map<string, string>;

    expect(() => attributes.set("plan", "free")).toThrow(TypeError);
    expect(() => attributes.delete("plan")).toThrow(TypeError);
    expect(() => {
      attributes.clear();
    }).toThrow(TypeError);
    expect([...shared.attributes]).toEqual([["plan", "pro"]]);
    expect(Object.isFrozen(shared) && Object.isFrozen(shared.device)).toBe(true);
  });

  it("keeps an attribute named __proto__ an attribute (S-13)", () => {
    const { attributes } = fromSession({ ...ACTIVE, attributes: new Map([["__proto__", "x"]]) });

    expect(attributes.get("__proto__")).toBe("x");
  });
});

describe("a position", () => {
  it.each([
    ["in a partition above 15", { partition: 16, generation: 1n, sequence: 1n }],
    ["above 2^53", { partition: 0, generation: 2n ** 53n, sequence: 1n }],
  ])("%s is refused (S-24)", (_what, head) => {
    const response = SyncRevocationsResponse.create({ heads: [head] });

    expect(() => fromSyncResponse(response)).toThrow("Cannot use what the authority answered");
  });

  it("of a range that leads to another partition is refused", () => {
    const ranges = [
      { fromExclusive: { partition: 0 }, through: { partition: 1, generation: 1n, sequence: 1n } },
    ];

    expect(() => fromSyncResponse(SyncRevocationsResponse.create({ ranges }))).toThrow("range");
  });

  it("that is missing is refused", () => {
    expect(() => fromSyncResponse(SyncRevocationsResponse.create({ ranges: [{}] }))).toThrow(
      "a revision is missing",
    );
  });
});

describe("an event", () => {
  const revision = { partition: 0, generation: 1n, sequence: 1n };

  it("of an unknown target or kind still drops what it may concern", () => {
    const untargeted = RevocationEvent.create({ revision, kind: RevocationEventKind.REVOKED });
    const unkind = RevocationEvent.create({
      revision,
      target: { $case: "session", value: { sessionId: ACTIVE.sessionId } },
    });
    const { events } = fromSyncResponse(
      SyncRevocationsResponse.create({ events: [untargeted, unkind] }),
    );

    expect(events).toMatchObject([
      { kind: "changed", target: { kind: "all" } },
      { kind: "changed", target: { kind: "session" } },
    ]);
  });

  it("of a kind of message that is unknown is passed over, and ends no stream (FAULTS row 28)", () => {
    expect(fromWatchResponse(WatchRevocationsResponse.create({}))).toBeUndefined();
  });
});

describe("a duration", () => {
  it("is never negative, and a digest is sent as its bytes", () => {
    expect(toDuration(-5)).toEqual({ seconds: 0n, nanos: 0 });
    expect(toDuration(1_500)).toEqual({ seconds: 1n, nanos: 500_000_000 });
    expect(toTimestamp(1_500)).toEqual({ seconds: 1n, nanos: 500_000_000 });
    const { items } = toTouchRequest([{ sessionId: "s", digest: "00ff", idleForMs: 0 }]);
    expect(items[0]?.tokenSha256).toEqual(Buffer.from([0x00, 0xff]));
  });
});
