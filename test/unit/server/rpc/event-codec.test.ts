import { encodeSyncAnswer, eventCodec, toWireEvent } from "#server/rpc/event-codec.js";
import type { RevocationEvent } from "#server/session/event.js";
import {
  ResetReason,
  RevocationEventKind,
  RotationTrigger,
  SyncRevocationsResponse,
  WatchRevocationsResponse,
} from "@coatcheck/proto";
import { describe, expect, it } from "vitest";

const revision = {
  partition: 15,
  generation: 1_763_000_000_000_000,
  sequence: 9_007_199_254_740_991,
};
const before = { ...revision, sequence: revision.sequence - 1 };

const base: RevocationEvent = {
  revision,
  eventId: "event-1",
  kind: "revoked",
  trigger: undefined,
  target: { kind: "session", sessionId: "0fAAAAAAAAAAAAAAAAAAAAAA" },
  cutoff: undefined,
  tenantId: "acme",
  reason: "user-logout",
  initiatingEntity: "user",
  atMs: 1_763_000_000_123,
};

const EVENTS: readonly RevocationEvent[] = [
  base,
  { ...base, kind: "changed", trigger: "login" },
  {
    ...base,
    target: { kind: "subject", subject: "üser", except: ["0fB", "0fC"] },
    cutoff: revision,
  },
  {
    ...base,
    target: { kind: "tenant", clientId: "web", createdBeforeMs: 1_700_000_000_001 },
    cutoff: revision,
  },
  { ...base, target: { kind: "tenant", clientId: "", createdBeforeMs: undefined } },
  { ...base, target: { kind: "all" }, tenantId: "", cutoff: revision },
];

describe("eventCodec", () => {
  it.each(EVENTS)("makes batches that the generated code reads: $target.kind", (event) => {
    const bytes = eventCodec.batch({ fromExclusive: before, through: revision }, [
      eventCodec.encodeEvent(event),
      eventCodec.encodeEvent(event),
    ]);

    const { body } = WatchRevocationsResponse.decode(bytes);

    expect(body).toEqual({
      $case: "batch",
      value: {
        ranges: [
          {
            fromExclusive: {
              partition: 15,
              generation: 1_763_000_000_000_000n,
              sequence: 9_007_199_254_740_990n,
            },
            through: {
              partition: 15,
              generation: 1_763_000_000_000_000n,
              sequence: 9_007_199_254_740_991n,
            },
          },
        ],
        events: [toWireEvent(event), toWireEvent(event)],
      },
    });
  });

  it("makes the same bytes as the generated code", () => {
    const event = eventCodec.encodeEvent(base);
    const bytes = eventCodec.batch({ fromExclusive: before, through: revision }, [event]);

    const again = WatchRevocationsResponse.encode(WatchRevocationsResponse.decode(bytes)).finish();

    expect(Buffer.from(bytes).equals(Buffer.from(again))).toBe(true);
  });

  it("copies the same event bytes into the answer to a sync", () => {
    const bytes = encodeSyncAnswer(
      {
        ranges: [{ fromExclusive: before, through: revision }],
        events: EVENTS.map((event) => eventCodec.encodeEvent(event)),
        heads: [revision],
        resets: new Map([["history-forked", [before]]]),
      },
      { deploymentId: "deployment", maxStalenessMs: 2500 },
    );

    const response = SyncRevocationsResponse.decode(bytes);

    expect(response.events).toEqual(EVENTS.map(toWireEvent));
    expect(response.maxStaleness).toEqual({ seconds: 2n, nanos: 500_000_000 });
    expect(response.deploymentId).toBe("deployment");
    expect(response.resets[0]?.reason).toBe(ResetReason.HISTORY_FORKED);
    expect(response.heads).toHaveLength(1);
    expect(response.ranges).toHaveLength(1);
  });

  it("keeps what an event says", () => {
    const [, changed] = EVENTS;
    const wire = toWireEvent(changed ?? base);

    expect(wire.kind).toBe(RevocationEventKind.CHANGED);
    expect(wire.trigger).toBe(RotationTrigger.LOGIN);
    expect(wire.revokedAt).toEqual({ seconds: 1_763_000_000n, nanos: 123_000_000 });
  });

  it("writes the other messages of the stream", () => {
    function read(bytes: Uint8Array): WatchRevocationsResponse["body"] {
      return WatchRevocationsResponse.decode(bytes).body;
    }

    expect(
      read(eventCodec.opened({ position: [revision], deploymentId: "d", maxStalenessMs: 3000 })),
    ).toMatchObject({
      $case: "opened",
      value: { deploymentId: "d", maxStaleness: { seconds: 3n } },
    });
    expect(read(eventCodec.progress([{ fromExclusive: before, through: revision }]))).toMatchObject(
      {
        $case: "progress",
        value: { ranges: [{ fromExclusive: { partition: 15 } }] },
      },
    );
    expect(read(eventCodec.reset({ at: [revision], reason: "too-old" }))).toMatchObject({
      $case: "reset",
      value: { reason: ResetReason.TOO_OLD },
    });
    expect(read(eventCodec.goaway(1500))).toMatchObject({
      $case: "goaway",
      value: { reconnectWithin: { seconds: 1n, nanos: 500_000_000 } },
    });
  });
});
