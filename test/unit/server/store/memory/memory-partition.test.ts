import { describe, expect, it } from "vitest";

import { DEFAULT_POLICY } from "#server/session/policy.js";
import { mintSessionId } from "#server/session/token.js";
import { createSession } from "#server/store/memory/create-session.js";
import { revokeSession } from "#server/store/memory/end-session.js";
import { MemoryPartition } from "#server/store/memory/memory-partition.js";
import { reapSessions } from "#server/store/memory/reap-sessions.js";
import { revokeScope } from "#server/store/memory/revoke-scope.js";
import type { RevocationScope } from "#server/store/session-store.js";

import { ManualClock } from "../../../../support/manual-clock.js";

const cause = {
  reason: "admin",
  initiatingEntity: "admin",
  reasonAdmin: "",
  reasonUser: "",
} as const;

function open(): { readonly partition: MemoryPartition; readonly clock: ManualClock } {
  const clock = new ManualClock();
  const partition = new MemoryPartition({
    partition: 5,
    clock,
    leaseMaxMs: 3_000,
    logRetention: 100,
    audit: { length: 100, retentionMs: 1_000 },
    requestsMax: 100,
    onAppend: () => undefined,
  });
  return { partition, clock };
}

function create(partition: MemoryPartition): string {
  const sessionId = mintSessionId(5);
  createSession(partition, {
    sessionId,
    tenantId: "acme",
    subject: "alice",
    clientId: "web",
    device: { id: "", ipAddress: "", userAgent: "" },
    policy: { ...DEFAULT_POLICY, absoluteTimeoutMs: 3_600_000, maxSessionsPerSubject: 0 },
    checked: { aal: 0, amr: [], authenticatedAtMs: undefined },
    facts: Buffer.from("facts"),
    tokenDigest: "d".repeat(64),
    nonce: "00",
    recoveryDigest: undefined,
    request: undefined,
    eventId: "event",
  });
  return sessionId;
}

function revoke(partition: MemoryPartition, sessionId: string): void {
  revokeSession(partition, {
    sessionId,
    presentedDigest: undefined,
    cause,
    request: undefined,
    eventId: "event",
  });
}

function cut(partition: MemoryPartition, scope: RevocationScope): void {
  revokeScope(partition, { partition: 5, scope, cause, request: undefined, eventId: "event" });
}

function subject(name: string): RevocationScope {
  return { kind: "subject", tenantId: "acme", subject: name, exceptSessionId: undefined };
}

describe("the cutoffs of a partition", () => {
  it("do not grow by subjects without sessions", () => {
    const { partition } = open();

    for (let count = 0; count < 50; count += 1) {
      cut(partition, subject(`nobody-${count}`));
    }

    expect(partition.cutoffs.size).toBe(0);
    expect(partition.log.head.sequence).toBe(50);
  });

  it("lose a subject's with the last id of its index", () => {
    const { partition, clock } = open();
    create(partition);
    cut(partition, subject("alice"));
    const login = create(partition);

    revoke(partition, login);
    expect(partition.cutoffs.size).toBe(1);
    clock.advance(3_600_000);
    reapSessions(partition, 100);
    expect(partition.cutoffs.size).toBe(0);
  });

  it("lose the wider ones when the longest session is over, and not before", () => {
    const { partition, clock } = open();
    create(partition);
    cut(partition, { kind: "all" });
    cut(partition, {
      kind: "tenant",
      tenantId: "acme",
      clientId: "tv",
      createdBeforeMs: clock.wallMs(),
    });

    clock.advance(3_600_000);
    reapSessions(partition, 100);
    expect(partition.cutoffs.size).toBe(2);
    clock.advance(1);
    reapSessions(partition, 100);
    expect(partition.cutoffs.size).toBe(0);
  });
});

describe("the reaper's queue of a partition", () => {
  it("holds one appointment a session, and none of those that are gone", () => {
    const { partition, clock } = open();
    for (let count = 0; count < 20; count += 1) {
      const sessionId = create(partition);
      if (count % 2 === 0) {
        revoke(partition, sessionId);
      }
    }
    expect(partition.queue.size).toBe(20);

    clock.advance(86_400_000);
    reapSessions(partition, 100);

    expect(partition.records.size).toBe(0);
    expect(partition.queue.size).toBe(0);
  });
});
