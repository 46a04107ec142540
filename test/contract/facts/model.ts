import fc from "fast-check";
import { describe, expect } from "vitest";

import type { RotationTrigger } from "#server/session/outcome.js";

import { type Fact, freshDigest, PARTITION, type Ticket, type World } from "../world.js";

/*
 * Random sequences of everything one can do to a few sessions, against a model so
 * small that it can be checked by eye: a session is alive until it is revoked, is
 * under a cutoff, or has not been used for the idle timeout. The model knows
 * nothing of indexes, generations, requests or graces; it must agree all the same
 * (S-08: no path leaves REVOKED; S-02: no path makes a session).
 */

const IDLE_MS = 40_000;
const ABSOLUTE_MS = 400_000;
const SUBJECTS = ["alice", ""];
const SEED = 20_240_613;

interface ModelSession {
  ticket: Ticket;
  readonly subject: string;
  readonly createdAtMs: number;
  lastSeenAtMs: number;
  revoked: boolean;
}

type Step =
  | { readonly kind: "create"; readonly subject: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "use" | "report" | "update" | "revoke" | "guess"; readonly pick: number }
  | { readonly kind: "rotate"; readonly pick: number; readonly trigger: RotationTrigger }
  | { readonly kind: "revoke-others" | "replace"; readonly pick: number }
  | { readonly kind: "revoke-subject" | "revoke-tenant" | "revoke-device" | "reap" | "fork" };

const pick = fc.nat({ max: 7 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("create"), subject: fc.nat({ max: 1 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("advance"), ms: fc.nat({ max: 30_000 }) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom("use", "report", "update", "revoke", "guess"),
      pick,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("rotate"),
      pick,
      trigger: fc.constantFrom("periodic", "login", "privilege-change"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("revoke-others", "replace"), pick }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("revoke-subject", "revoke-tenant", "revoke-device", "reap", "fork"),
    }),
  },
);

/** The model, and the same steps in the store. */
class Run {
  readonly #world: World;
  readonly #sessions: ModelSession[] = [];
  #nowMs = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async take(next: Step): Promise<void> {
    if ("pick" in next) {
      const session = this.#sessions[next.pick % Math.max(this.#sessions.length, 1)];
      if (session !== undefined) {
        await this.#takeOn(session, next);
      }
      return;
    }
    switch (next.kind) {
      case "create":
        await this.#create(SUBJECTS[next.subject] ?? "");
        return;
      case "advance":
        this.#nowMs += next.ms;
        await this.#world.at(this.#nowMs);
        return;
      case "revoke-subject":
        await this.#world.revokeSubject();
        this.#end(({ subject }) => subject === "alice");
        return;
      case "revoke-tenant":
        await this.#world.revokeTenant();
        this.#end(() => true);
        return;
      case "revoke-device":
        await this.#world.store.sessions.revokeDevice(this.#world.deviceCommand());
        this.#end(({ subject }) => subject === "alice");
        return;
      case "reap":
        await this.#world.store.sessions.reap(PARTITION, 100);
        return;
      case "fork":
        await this.#world.openGeneration();
        return;
    }
  }

  /** What the model says of every session, beside what the store says. */
  async compare(): Promise<void> {
    const replies = await this.#world.store.sessions.validateBatch(
      PARTITION,
      this.#sessions.map(({ ticket }) => this.#world.validateCommand(ticket)),
    );
    expect(replies.map(({ outcome }) => outcome === "valid")).toEqual(
      this.#sessions.map((session) => this.#isLive(session)),
    );
    for (const [index, session] of this.#sessions.entries()) {
      const isDenied = ["revoked", "rotated", "not-found"].includes(replies[index]?.outcome ?? "");
      expect(isDenied || !session.revoked).toBe(true);
    }
  }

  async #takeOn(
    session: ModelSession,
    next: Extract<Step, { readonly pick: number }>,
  ): Promise<void> {
    const { ticket } = session;
    const wasLive = this.#isLive(session);
    switch (next.kind) {
      case "use":
        await this.#world.use(ticket);
        this.#use(session);
        return;
      case "report":
        await this.#world.store.sessions.touch(PARTITION, [{ ...ticket, idleForMs: 0 }]);
        this.#use(session);
        return;
      case "update":
        await this.#world.update(ticket);
        return;
      case "guess":
        await this.#world.use({ ...ticket, tokenDigest: freshDigest() });
        await this.#world.tryRotate({ ...ticket, tokenDigest: freshDigest() }, "login");
        await this.#world.revoke(ticket, { presentedDigest: freshDigest() });
        return;
      case "revoke":
        await this.#world.revoke(ticket);
        session.revoked = true;
        return;
      case "replace":
        await this.#world.store.sessions.replace({
          sessionId: ticket.sessionId,
          presentedDigest: ticket.tokenDigest,
          successorId: "successor",
          eventId: `replace-${ticket.sessionId}`,
        });
        session.revoked ||= wasLive;
        return;
      case "revoke-others":
        await this.#world.revokeSubject({ exceptSessionId: ticket.sessionId });
        if (wasLive && session.subject === "alice") {
          this.#end((other) => other.subject === "alice" && other !== session);
        }
        return;
      case "rotate": {
        const result = await this.#world.tryRotate(ticket, next.trigger);
        expect(result.kind === "rotated").toBe(wasLive);
        if (result.kind === "rotated") {
          session.ticket = { ...ticket, tokenDigest: result.successorDigest };
        }
      }
    }
  }

  async #create(subject: string): Promise<void> {
    const created = await this.#world.create({
      subject,
      policy: {
        idleTimeoutMs: IDLE_MS,
        absoluteTimeoutMs: ABSOLUTE_MS,
        touchIntervalMs: 0,
        rotationGraceMs: 5_000,
        maxSessionsPerSubject: 3,
        limitAction: "evict-oldest",
      },
    });
    const expected = this.#sessions
      .filter((session) => session.subject === "alice" && this.#isLive(session))
      .map(({ ticket }) => ticket.sessionId);
    expect(created.evicted.every((sessionId) => expected.includes(sessionId))).toBe(true);
    const excess = subject === "alice" ? Math.max(expected.length - 2, 0) : 0;
    expect(created.evicted).toHaveLength(excess);
    this.#end(({ ticket }) => created.evicted.includes(ticket.sessionId));
    const { sessionId, tokenDigest } = created;
    this.#sessions.push({
      ticket: { sessionId, tokenDigest },
      subject,
      createdAtMs: this.#nowMs,
      lastSeenAtMs: this.#nowMs,
      revoked: false,
    });
  }

  #use(session: ModelSession): void {
    if (this.#isLive(session)) {
      session.lastSeenAtMs = this.#nowMs;
    }
  }

  #end(isMeant: (session: ModelSession) => boolean): void {
    for (const session of this.#sessions) {
      // One that has expired may have left the index, out of a revocation's reach; it is dead.
      session.revoked ||= this.#isLive(session) && isMeant(session);
    }
  }

  #isLive({ revoked, createdAtMs, lastSeenAtMs }: ModelSession): boolean {
    return (
      !revoked && this.#nowMs < createdAtMs + ABSOLUTE_MS && this.#nowMs < lastSeenAtMs + IDLE_MS
    );
  }
}

/** The store against the model. */
export function describeModel(fact: Fact): void {
  describe("any sequence of commands", () => {
    for (let run = 0; run < 20; run += 1) {
      const seed = SEED + run;
      const steps = fc.sample(fc.array(step, { minLength: 30, maxLength: 60 }), {
        seed,
        numRuns: 3,
      });
      fact(`agrees with the model of liveness, seed ${seed}, S-08`, async (world) => {
        const model = new Run(world);
        for (const next of steps.flat()) {
          await model.take(next);
          await model.compare();
        }
      });
    }
  });
}
