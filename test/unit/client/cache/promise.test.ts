import { describe, expect, it } from "vitest";
import {
  at,
  createCache,
  DIGEST,
  hit,
  L_MS,
  open,
  push,
  range,
  reply,
  rev,
  revoked,
  session,
  SESSION_ID,
  subjectRevoked,
  sync,
  syncReply,
  warm,
} from "../support/fixtures.js";

// One test for each line of DESIGN §7's algorithm. `test/mutants/client-mutants.json` removes
// the guards one by one; each removal turns a test of this file red.

describe("a hit", () => {
  it("is answered for as long as the entry's own question is at most L old", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache, { now: at(0) });

    expect(hit(cache, at(L_MS))).toBe("hit");
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("is answered under a newer lease, counted from when the Sync was sent (I1)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    sync(cache, rev(0), at(2_000));

    expect(hit(cache, at(2_000 + L_MS))).toBe("hit");
    expect(hit(cache, at(2_000 + L_MS + 1))).toBe("miss");
  });

  it("needs the very token that was validated", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);

    expect(hit(cache, at(1), "another")).toBe("miss");
  });

  it("is refused once the answer is as old as it stays true (I12, S-16)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache, { reply: reply({ validForMs: 1_000 }) });
    sync(cache, rev(0), at(500));

    expect(hit(cache, at(999))).toBe("hit");
    expect(hit(cache, at(1_000))).toBe("miss");
  });

  it("uses the L that came with the lease, not a later one", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    cache.applySync(
      cache.askSync(at(1_000)),
      syncReply(rev(0), { maxStalenessMs: 500 }),
      at(1_000),
    );

    expect(hit(cache, at(1_500))).toBe("hit");
    expect(hit(cache, at(1_501))).toBe("miss");
  });

  it("ends with the first Sync that grants nothing, whatever was granted before it", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    sync(cache, rev(0), at(1_000));
    expect(hit(cache, at(2_000))).toBe("hit");

    cache.applySync(cache.askSync(at(2_000)), syncReply(rev(0), { maxStalenessMs: 0 }), at(2_001));

    expect(hit(cache, at(2_001))).toBe("miss");
  });

  it("never uses more than this client's own bound", () => {
    const cache = createCache({ maxStalenessMs: 200 });
    open(cache, rev(0));
    warm(cache);

    expect(hit(cache, at(200))).toBe("hit");
    expect(hit(cache, at(201))).toBe("miss");
  });

  it("needs both the answer and what was applied to reach a minimum revision", () => {
    const cache = createCache();
    open(cache, rev(1));
    warm(cache, { reply: reply({ asOf: rev(2) }) });
    const token = { sessionId: SESSION_ID, digest: DIGEST };

    expect(cache.hit({ ...token, minRevision: rev(1) }, at(0)).kind).toBe("hit");
    expect(cache.hit({ ...token, minRevision: rev(2) }, at(0)).kind).toBe("miss");
    push(cache, range(1, 2));
    expect(cache.hit({ ...token, minRevision: rev(2) }, at(0)).kind).toBe("hit");
    expect(cache.hit({ ...token, minRevision: rev(3) }, at(0)).kind).toBe("miss");
  });
});

describe("the age of a lease", () => {
  it("counts on the wall clock where the monotonic clock stood still (FAULTS row 3)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    sync(cache, rev(0), at(0));
    const suspended = { monotonicMs: at(1).monotonicMs, wallMs: at(L_MS + 1).wallMs };

    expect(hit(cache, suspended)).toBe("miss");
  });

  it("counts on the monotonic clock where the wall clock was stepped back a little", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    const adjusted = { monotonicMs: at(L_MS + 1).monotonicMs, wallMs: at(-250).wallMs };

    expect(hit(cache, adjusted)).toBe("miss");
  });

  it("is void once the wall clock was stepped back further than that", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);

    expect(hit(cache, { monotonicMs: at(1).monotonicMs, wallMs: at(-250).wallMs })).toBe("hit");
    expect(hit(cache, { monotonicMs: at(1).monotonicMs, wallMs: at(-251).wallMs })).toBe("miss");
  });
});

describe("an answer of the authority", () => {
  it("is kept with the age of its question, not of its arrival (FAULTS row 8)", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    cache.fill(question, { digest: DIGEST, reply: reply() }, at(2_000));

    expect(hit(cache, at(L_MS))).toBe("hit");
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("without a lease is discarded when it is older than the usual L", () => {
    const cache = createCache({ maxStalenessMs: 60_000 });
    const question = cache.ask(SESSION_ID, at(0));
    const ungranted = reply({ maxStalenessMs: 0 });

    expect(cache.judge(question, ungranted, at(3_000)).kind).toBe("accept");
    expect(cache.judge(question, ungranted, at(3_001))).toEqual({
      kind: "discard",
      cause: "too-old",
    });
  });

  it("to a question of minimum revision of another partition is never memory's", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5) }) });
    const asked = { sessionId: SESSION_ID, digest: DIGEST, minRevision: rev(1, 1, 3) };

    expect(cache.hit(asked, at(0)).kind).toBe("miss");
  });

  it("is discarded when it is older than L, by whoever asked or joined", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));

    expect(cache.judge(question, reply(), at(L_MS)).kind).toBe("accept");
    expect(cache.judge(question, reply(), at(L_MS + 1))).toEqual({
      kind: "discard",
      cause: "too-old",
    });
  });

  it("is discarded when it is older than what had been applied when it was asked for (I10)", () => {
    const cache = createCache();
    open(cache, rev(5));
    const question = cache.ask(SESSION_ID, at(0));

    expect(cache.judge(question, reply({ asOf: rev(4) }), at(1))).toEqual({
      kind: "discard",
      cause: "behind",
    });
    expect(cache.judge(question, reply({ asOf: rev(5) }), at(1)).kind).toBe("accept");
    expect(cache.judge(question, reply({ asOf: rev(0, 2) }), at(1)).kind).toBe("accept");
  });

  it("is discarded when it is about another session (S-19)", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    const other = reply({ session: session({ sessionId: "00bbbbbbbbbbbbbbbbbbbbbb" }) });

    expect(cache.judge(question, other, at(0))).toEqual({ kind: "discard", cause: "unusable" });
  });

  it("is discarded when it lacks what it takes to check it", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));

    for (const lacking of [{ session: undefined }, { asOf: undefined }, { issued: undefined }]) {
      expect(cache.judge(question, reply(lacking), at(0)).kind).toBe("discard");
    }
  });

  it("does not undo a revocation that overtook it (I2, FAULTS row 14)", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), revoked(rev(1)));
    cache.fill(question, { digest: DIGEST, reply: reply() }, at(1));

    expect(cache.judge(question, reply(), at(1))).toMatchObject({
      kind: "deny",
      outcome: "revoked",
    });
    expect(cache.size).toBe(0);
  });

  it("does not revive a session in a later generation either (I2)", () => {
    const cache = createCache();
    open(cache, rev(0));
    push(cache, range(0, 1), revoked(rev(1)));
    open(cache, rev(0, 2));
    const question = cache.ask(SESSION_ID, at(0));

    const verdict = cache.judge(question, reply({ asOf: rev(0, 2) }), at(0));

    expect(verdict).toMatchObject({ kind: "deny", outcome: "revoked" });
  });

  it("is denied as rotated where another session took over", () => {
    const cache = createCache();
    open(cache, rev(0));
    push(cache, range(0, 1), revoked(rev(1), { reason: "replaced" }));

    expect(cache.hit({ sessionId: SESSION_ID, digest: DIGEST }, at(0))).toMatchObject({
      kind: "denied",
      outcome: "rotated",
      ended: { reason: "replaced" },
    });
  });

  it("is not kept below a mark", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), revoked(rev(1), { kind: "changed", trigger: "login" }));

    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("marked");
    expect(hit(cache, at(1))).toBe("miss");
    warm(cache, { reply: reply({ asOf: rev(1) }) });
    expect(hit(cache, at(1))).toBe("hit");
  });

  it("is not kept before the first position, nor from another generation", () => {
    const cache = createCache();
    const early = cache.ask(SESSION_ID, at(0));
    expect(cache.fill(early, { digest: DIGEST, reply: reply() }, at(0))).toBe("no-position");

    open(cache, rev(0));
    const other = cache.ask(SESSION_ID, at(0));
    const later = reply({ asOf: rev(0, 2) });
    expect(cache.fill(other, { digest: DIGEST, reply: later }, at(0))).toBe("other-generation");
    expect(hit(cache, at(0))).toBe("miss");
  });

  it("is not kept where the authority says so", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache, { reply: reply({ cacheable: false }) });

    expect(hit(cache, at(0))).toBe("miss");
  });

  it("drops what was kept when it is a no", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    warm(cache, { reply: reply({ outcome: "expired-idle", session: undefined }) });

    expect(cache.size).toBe(0);
  });

  it("does not replace one to a later question", () => {
    const cache = createCache();
    open(cache, rev(0));
    const earlier = cache.ask(SESSION_ID, at(0));
    warm(cache, { now: at(1_000) });

    expect(cache.fill(earlier, { digest: DIGEST, reply: reply() }, at(1_500))).toBe("newer-entry");
    expect(hit(cache, at(1_000 + L_MS))).toBe("hit");
  });
});

describe("a forgotten revocation", () => {
  it("leaves a floor below which no answer is kept (FAULTS row 8)", () => {
    const cache = createCache({ tombstonesMax: 1 });
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(
      cache,
      range(0, 2),
      revoked(rev(1)),
      revoked(rev(2), { target: { kind: "session", sessionId: "00bbbbbbbbbbbbbbbbbbbbbb" } }),
    );

    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("below-floor");
    sync(cache, rev(2), at(1_000));
    expect(hit(cache, at(2_000))).toBe("miss");
  });

  it("leaves a floor when it was a mark", () => {
    const cache = createCache({ marksMax: 0 });
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), revoked(rev(1), { kind: "changed", trigger: "login" }));

    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("below-floor");
  });

  it("leaves a floor when it was a cutoff", () => {
    const cache = createCache({ cutoffsMax: 0 });
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), subjectRevoked(rev(1)));

    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("below-floor");
  });
});

describe("a cutoff", () => {
  it("drops what was issued before it and spares what was issued at or after it (I11)", () => {
    const cache = createCache();
    open(cache, rev(2));
    warm(cache, { reply: reply({ asOf: rev(2), issued: rev(1) }) });
    push(cache, range(2, 3), subjectRevoked(rev(3)));
    expect(hit(cache, at(0))).toBe("miss");

    warm(cache, { reply: reply({ asOf: rev(3), issued: rev(3) }) });
    expect(hit(cache, at(0))).toBe("hit");
  });

  it("denies an answer that was issued before it (FAULTS row 9)", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), subjectRevoked(rev(1)));

    expect(cache.judge(question, reply(), at(1))).toMatchObject({
      kind: "deny",
      outcome: "revoked",
    });
  });

  it("spares the excepted, whose older answers are used and not kept", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), subjectRevoked(rev(1), [SESSION_ID]));

    expect(hit(cache, at(0))).toBe("hit");
    expect(cache.judge(question, reply(), at(1)).kind).toBe("accept");
    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("below-cutoff");
  });

  it("does not spare by one event whom an earlier one ended (I2)", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 1), subjectRevoked(rev(1)));
    // As after a failover that lost the first: the store spares what the client saw end.
    push(cache, range(1, 2), subjectRevoked(rev(2), [SESSION_ID]));

    const older = reply({ asOf: rev(1), issued: rev(0) });
    const stamped = reply({ asOf: rev(2), issued: rev(2) });

    expect(cache.judge(question, older, at(1)).kind).toBe("deny");
    expect(cache.judge(question, stamped, at(1)).kind).toBe("accept");
  });

  it("keeps the larger of two, whichever comes last", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    push(cache, range(0, 5), subjectRevoked(rev(5)));
    // Asserted again after a failover: a later event with its original, lower cutoff.
    push(cache, range(5, 6), { ...subjectRevoked(rev(6)), cutoff: rev(2) });

    const verdict = cache.judge(question, reply({ asOf: rev(4), issued: rev(4) }), at(1));

    expect(verdict).toMatchObject({ kind: "deny", outcome: "revoked" });
  });

  it("ends a tenant's sessions created before its instant, and no others", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    const target = { kind: "tenant", clientId: "", createdBeforeMs: 2_000 } as const;
    push(cache, range(0, 1), revoked(rev(1), { target }));

    const older = reply({ session: session({ createdAtMs: 1_999 }), asOf: rev(1), issued: rev(0) });
    const younger = reply({ session: session({ createdAtMs: 2_000 }), asOf: rev(1) });

    expect(cache.judge(question, older, at(1)).kind).toBe("deny");
    expect(cache.judge(question, younger, at(1)).kind).toBe("accept");
  });

  it("of one client leaves the tenant's other clients alone", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    const target = { kind: "tenant", clientId: "app", createdBeforeMs: undefined } as const;
    push(cache, range(0, 1), revoked(rev(1), { target }));

    const app = reply({ session: session({ clientId: "app" }) });

    expect(cache.judge(question, app, at(1)).kind).toBe("deny");
    expect(cache.judge(question, reply(), at(1)).kind).toBe("accept");
  });

  it("of everything leaves nobody", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    push(cache, range(0, 1), revoked(rev(1), { target: { kind: "all" }, tenantId: "" }));

    expect(hit(cache, at(0))).toBe("miss");
  });

  it("of a subject does not reach a subject whose name is spelt together (I-05)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache, { reply: reply({ session: session({ tenantId: "acme:5", subject: "alice" }) }) });
    push(
      cache,
      range(0, 1),
      revoked(rev(1), {
        tenantId: "acme",
        target: { kind: "subject", subject: "5:alice", except: [] },
      }),
    );

    expect(hit(cache, at(0))).toBe("hit");
  });
});

describe("the log", () => {
  it("ignores what was applied before", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5), issued: rev(0) }) });
    push(cache, range(2, 5), revoked(rev(4)));

    expect(hit(cache, at(0))).toBe("hit");
    expect(cache.position()).toEqual([rev(5)]);
  });

  it("applies the new part of a stretch that overlaps", () => {
    const cache = createCache();
    open(cache, rev(2));
    warm(cache, { reply: reply({ asOf: rev(2) }) });
    push(cache, range(0, 3), revoked(rev(3)));

    expect(hit(cache, at(0))).toBe("denied");
    expect(cache.position()).toEqual([rev(3)]);
  });

  it("takes a hole for a reset", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    push(cache, range(3, 4));
    sync(cache, rev(4), at(1_000));

    expect(cache.position()).toEqual([rev(4)]);
    expect(hit(cache, at(L_MS))).toBe("hit");
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("takes a new generation for a reset, although nothing was missed", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5) }) });
    const other = "00bbbbbbbbbbbbbbbbbbbbbb";
    const event = revoked(rev(1, 2), { target: { kind: "session", sessionId: other } });
    const ranges = [{ fromExclusive: rev(5), through: rev(1, 2) }];

    const changes = cache.applyMessage({ kind: "batch", ranges, events: [event] }, at(0));
    sync(cache, rev(1, 2), at(1_000));

    expect(changes).toEqual({
      events: [event],
      resets: [{ partition: 0, cause: "new-generation" }],
    });
    expect(hit(cache, at(L_MS))).toBe("hit");
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("denies by an event from behind a hole", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    push(cache, range(3, 4), revoked(rev(4)));

    expect(hit(cache, at(0))).toBe("denied");
  });

  it("never goes back: a reset below what was applied changes nothing", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5) }) });
    cache.applyMessage({ kind: "reset", reset: { at: [rev(3)], reason: "too-old" } }, at(0));
    sync(cache, rev(5), at(1_000));

    expect(cache.position()).toEqual([rev(5)]);
    expect(hit(cache, at(1_000 + L_MS))).toBe("hit");
  });

  it("keeps the floor of a forgotten revocation through a reset below it", () => {
    const cache = createCache({ tombstonesMax: 0 });
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    // Forgotten at 9, which this client knew from its own call before the log brought it.
    cache.ownMutation({
      kind: "revoked",
      sessionId: "00bbbbbbbbbbbbbbbbbbbbbb",
      revision: rev(9),
      end: { reason: "admin", atMs: undefined, initiatingEntity: "admin", reasonUser: "" },
    });
    cache.applyMessage({ kind: "reset", reset: { at: [rev(3)], reason: "too-old" } }, at(0));

    const refusal = cache.fill(question, { digest: DIGEST, reply: reply({ asOf: rev(5) }) }, at(1));

    expect(refusal).toBe("below-floor");
  });
});

describe("a Sync", () => {
  it("counts the lease from when it was sent (FAULTS row 4)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache, { now: at(0) });
    const question = cache.askSync(at(1_000));
    cache.applySync(question, syncReply(rev(0)), at(2_900));

    expect(hit(cache, at(1_000 + L_MS))).toBe("hit");
    expect(hit(cache, at(1_000 + L_MS + 1))).toBe("miss");
  });

  it("applies what it brings before it renews", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    cache.applySync(
      cache.askSync(at(1_000)),
      syncReply(rev(1), { ranges: [range(0, 1)], events: [revoked(rev(1))] }),
      at(1_001),
    );

    expect(hit(cache, at(1_001))).toBe("denied");
  });

  it("renews nothing while the head is ahead of what was applied (I4)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    const result = cache.applySync(
      cache.askSync(at(2_000)),
      syncReply(rev(9), { ranges: [range(0, 4)] }),
      at(2_001),
    );

    expect(result).toMatchObject({ renewed: 0, hasMore: true });
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("proves nothing by a head below one that was seen before", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    sync(cache, rev(9), at(0));
    const result = cache.applySync(cache.askSync(at(2_000)), syncReply(rev(0)), at(2_001));

    expect(result.renewed).toBe(0);
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("proves nothing by a head below what had been applied when it was sent", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5) }) });
    const result = cache.applySync(cache.askSync(at(2_000)), syncReply(rev(4)), at(2_001));

    expect(result.renewed).toBe(0);
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("renews where an event overtook its head on the stream", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.askSync(at(1_000));
    push(cache, range(0, 1));

    expect(cache.applySync(question, syncReply(rev(0)), at(1_001)).renewed).toBe(1);
  });

  it("leaves alone the lease of a partition whose head is missing", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    cache.applySync(cache.askSync(at(2_000)), { ...syncReply(rev(0)), heads: [] }, at(2_001));

    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("without a position starts at the head", () => {
    const cache = createCache();
    sync(cache, rev(7), at(0));
    warm(cache, { now: at(1), reply: reply({ asOf: rev(7) }) });

    expect(cache.position()).toEqual([rev(7)]);
    expect(hit(cache, at(1))).toBe("hit");
  });

  it("takes a head of a newer generation that nothing led to for a reset", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5) }) });
    sync(cache, rev(0, 2), at(1_000));

    expect(cache.position()).toEqual([rev(0, 2)]);
    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });
});

describe("the stream", () => {
  it("renews no lease, however often it says that nothing happened", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    sync(cache, rev(0), at(0));
    for (let ms = 100; ms <= L_MS; ms += 100) {
      cache.applyMessage({ kind: "progress", ranges: [range(0, 0)] }, at(ms));
    }

    expect(hit(cache, at(L_MS + 1))).toBe("miss");
  });

  it("counts how long after its revocation a session was still used (S-14)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    hit(cache, at(500));
    push(cache, range(0, 1), revoked(rev(1), { revokedAtMs: at(0).wallMs }));

    expect(cache.lateAccepts).toEqual({ count: 1, ageMaxMs: 500 });
  });
});

describe("an own mutation", () => {
  it("ends the session here before its event arrives", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    cache.ownMutation({
      kind: "revoked",
      sessionId: SESSION_ID,
      revision: rev(1),
      end: { reason: "user-logout", atMs: undefined, initiatingEntity: "user", reasonUser: "" },
    });

    expect(hit(cache, at(1))).toBe("denied");
  });

  it("keeps no answer to a question that was sent before it completed", () => {
    const cache = createCache();
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    cache.ownMutation({ kind: "changed", sessionId: SESSION_ID, revision: rev(0) });

    expect(cache.isJoinable(question)).toBe(false);
    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("own-mutation");
    expect(hit(cache, at(1))).toBe("miss");
    warm(cache);
    expect(hit(cache, at(1))).toBe("hit");
  });

  it("of unknown effect drops what is kept", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    cache.ownMutation({ kind: "uncertain", sessionId: SESSION_ID });

    expect(hit(cache, at(1))).toBe("miss");
  });

  it("that was forgotten is assumed of every session", () => {
    const cache = createCache({ ownMutationsMax: 0 });
    open(cache, rev(0));
    const question = cache.ask(SESSION_ID, at(0));
    cache.ownMutation({ kind: "uncertain", sessionId: "00bbbbbbbbbbbbbbbbbbbbbb" });

    expect(cache.isJoinable(question)).toBe(false);
    expect(cache.isJoinable(cache.ask(SESSION_ID, at(1)))).toBe(true);
  });

  it("on some sessions of a subject drops all of them", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    const question = cache.ask(SESSION_ID, at(0));
    cache.ownMutation({
      kind: "subject-uncertain",
      tenantId: "acme",
      subject: "alice",
      revision: rev(3),
    });

    expect(hit(cache, at(1))).toBe("miss");
    expect(cache.isJoinable(question)).toBe(false);
    expect(cache.fill(question, { digest: DIGEST, reply: reply() }, at(1))).toBe("below-floor");
  });
});

describe("starting over", () => {
  it("makes everything cold and voids what is on its way", () => {
    const cache = createCache();
    open(cache, rev(5));
    warm(cache, { reply: reply({ asOf: rev(5) }) });
    const question = cache.ask(SESSION_ID, at(0));
    cache.forgetEverything();

    expect(cache.position()).toEqual([]);
    expect(hit(cache, at(0))).toBe("miss");
    expect(cache.judge(question, reply({ asOf: rev(9) }), at(1)).kind).toBe("discard");
    open(cache, rev(0));
    warm(cache);
    expect(hit(cache, at(0))).toBe("hit");
  });
});

describe("the bounds", () => {
  it("let the least recently used entry go", () => {
    const cache = createCache({ entriesMax: 1 });
    open(cache, rev(0));
    warm(cache);
    const other = "00bbbbbbbbbbbbbbbbbbbbbb";
    const answer = reply({ session: session({ sessionId: other }) });
    cache.fill(cache.ask(other, at(0)), { digest: "d2", reply: answer }, at(0));

    expect(cache.size).toBe(1);
    expect(hit(cache, at(0))).toBe("miss");
  });

  it("of a stale answer are the call site's, and never revive what has ended (S-22)", () => {
    const cache = createCache();
    open(cache, rev(0));
    warm(cache);
    const token = { sessionId: SESSION_ID, digest: DIGEST, staleMaxMs: 10_000 };

    expect(cache.stale(token, at(10_000))?.ageMs).toBe(10_000);
    expect(cache.stale(token, at(10_001))).toBeUndefined();
    push(cache, range(0, 1), revoked(rev(1)));
    expect(cache.stale(token, at(1))).toBeUndefined();
  });
});
