import { describe, expect } from "vitest";

import type { Revision } from "#server/session/revision.js";
import type { ResumeVerdict } from "#server/store/revocation-log.js";

import { type Fact, PARTITION, type World } from "../world.js";

/** Appends `count` events that need no sessions. */
async function append(world: World, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    await world.revokeTenant();
  }
}

function after(revision: Revision, by: number): Revision {
  return { ...revision, sequence: revision.sequence + by };
}

async function verdictAt(world: World, position: Revision): Promise<ResumeVerdict> {
  return (await world.store.log.pull(PARTITION, position, 1_000)).verdict;
}

async function sequencesAfter(world: World, position: Revision): Promise<readonly number[]> {
  return (await world.events(position)).map(({ revision }) => revision.sequence);
}

/** The log: order, limits, trimming. */
export function describeLog(fact: Fact): void {
  describe("the log", () => {
    fact("begins at sequence zero of a generation in unix microseconds", async (world) => {
      expect(await world.head()).toEqual(world.start);
      expect(world.start).toMatchObject({ partition: PARTITION, sequence: 0 });
      expect(Math.abs(world.start.generation / 1_000 - Date.now())).toBeLessThan(60_000);
    });

    fact("is dense and in order, R3", async (world) => {
      await append(world, 5);

      const events = await world.events();

      expect(events.map(({ revision }) => revision)).toEqual(
        [1, 2, 3, 4, 5].map((sequence) => ({ ...world.start, sequence })),
      );
    });

    fact("is dense and in order under concurrent appends", async (world) => {
      await Promise.all(Array.from({ length: 50 }, () => world.revokeTenant()));

      expect(await sequencesAfter(world, world.start)).toEqual(
        Array.from({ length: 50 }, (_, index) => index + 1),
      );
    });

    fact("answers a pull without position with the head alone", async (world) => {
      await append(world, 2);

      expect(await world.store.log.pull(PARTITION, undefined, 10)).toEqual({
        head: after(world.start, 2),
        verdict: "continue",
        events: [],
        through: after(world.start, 2),
      });
    });

    fact("answers a pull at the head with nothing new", async (world) => {
      await append(world, 2);
      const head = after(world.start, 2);

      expect(await world.store.log.pull(PARTITION, head, 10)).toEqual({
        head,
        verdict: "continue",
        events: [],
        through: head,
      });
    });

    for (const limit of [1, 2, 4, 5, 6]) {
      fact(`answers a pull of ${limit} with as many and says how far they reach`, async (world) => {
        await append(world, 5);

        const pulled = await world.store.log.pull(PARTITION, world.start, limit);

        expect(pulled.events).toHaveLength(Math.min(limit, 5));
        expect(pulled.head).toEqual(after(world.start, 5));
        expect(pulled.through).toEqual(after(world.start, Math.min(limit, 5)));
      });
    }

    fact("of one partition says nothing of another", async (world) => {
      const other = (PARTITION + 1) % 16;
      const before = (await world.store.log.pull(other, undefined, 1)).head;
      await append(world, 2);

      expect((await world.store.log.pull(other, undefined, 1)).head).toEqual(before);
    });

    fact("nudges its listeners after an append, until they leave", async (world) => {
      const heard: number[] = [];
      const arrived = new Promise<void>((resolve) => {
        world.store.log.onNudge((partition) => {
          heard.push(partition);
          resolve();
        });
      });
      const never: number[] = [];
      world.store.log.onNudge((partition) => never.push(partition))();

      await append(world, 1);
      await arrived;

      expect(new Set(heard)).toEqual(new Set([PARTITION]));
      expect(never).toEqual([]);
    });

    fact("names each event's id, so that it is known over changes of history", async (world) => {
      await world.revokeTenant();
      await world.revokeTenant();

      const eventIds = (await world.events()).map(({ eventId }) => eventId);

      expect(new Set(eventIds).size).toBe(2);
    });
  });
  describeResume(fact);
  describeForks(fact);
  describeDeployment(fact);
}

/** FAULTS.md's resume table, the rows of one history. */
function describeResume(fact: Fact): void {
  describe("a position in the same generation", () => {
    for (const [offset, verdict] of [
      [-2, "too-old"],
      [-1, "too-old"],
      [0, "continue"],
      [1, "continue"],
    ] as const) {
      fact(
        `${offset} from the last one trimmed is ${verdict}`,
        async (world) => {
          await append(world, 8);

          expect(await verdictAt(world, after(world.start, 3 + offset))).toBe(verdict);
        },
        { logRetention: 5 },
      );
    }

    fact(
      "that is too old is told the head and nothing else, FAULTS row 15",
      async (world) => {
        await append(world, 8);

        expect(await world.store.log.pull(PARTITION, world.start, 10)).toEqual({
          head: after(world.start, 8),
          verdict: "too-old",
          events: [],
          through: after(world.start, 8),
        });
      },
      { logRetention: 5 },
    );

    fact(
      "that is the last one trimmed reads on without a gap",
      async (world) => {
        await append(world, 8);

        expect(await sequencesAfter(world, after(world.start, 3))).toEqual([4, 5, 6, 7, 8]);
      },
      { logRetention: 5 },
    );

    for (const [offset, verdict] of [
      [-1, "continue"],
      [0, "continue"],
      [1, "behind"],
    ] as const) {
      fact(`${offset} from the head is ${verdict}`, async (world) => {
        await append(world, 3);

        expect(await verdictAt(world, after(world.start, 3 + offset))).toBe(verdict);
      });
    }
  });
}

/** FAULTS.md's resume table, the rows of a history that changed. */
function describeForks(fact: Fact): void {
  describe("a position over a change of history", () => {
    fact("is in a generation that is later than any before", async (world) => {
      await append(world, 3);
      await world.openGeneration();

      const head = await world.head();

      expect(head.generation).toBeGreaterThan(world.start.generation);
      expect(head.sequence).toBe(0);
    });

    for (const [sequence, verdict] of [
      [0, "continue"],
      [2, "continue"],
      [3, "continue"],
      [4, "history-forked"],
      [5, "history-forked"],
    ] as const) {
      fact(`at ${sequence}, where the fork happened at 3, is ${verdict}`, async (world) => {
        await append(world, 5);
        await world.openGeneration(2);

        expect(await verdictAt(world, after(world.start, sequence))).toBe(verdict);
      });
    }

    fact("before the fork reads what survived and then the new generation", async (world) => {
      await append(world, 5);
      await world.openGeneration(2);
      await append(world, 2);
      const { generation } = await world.head();

      const events = await world.events(after(world.start, 1));

      expect(events.map(({ revision }) => [revision.generation, revision.sequence])).toEqual([
        [world.start.generation, 2],
        [world.start.generation, 3],
        [generation, 1],
        [generation, 2],
      ]);
    });

    fact("reads over the fork in pages of one", async (world) => {
      await append(world, 2);
      await world.openGeneration(1);
      await append(world, 1);
      const head = await world.head();

      const first = await world.store.log.pull(PARTITION, world.start, 1);
      const second = await world.store.log.pull(PARTITION, first.through, 1);

      expect(first.through).toEqual(after(world.start, 1));
      expect(second.through).toEqual(head);
      expect(await verdictAt(world, second.through)).toBe("continue");
    });

    fact("is judged by every fork since", async (world) => {
      await append(world, 4);
      await world.openGeneration(1);
      const second = await world.head();
      await append(world, 4);
      await world.openGeneration(2);
      await append(world, 1);

      expect(await verdictAt(world, after(world.start, 3))).toBe("continue");
      expect(await verdictAt(world, after(world.start, 4))).toBe("history-forked");
      expect(await verdictAt(world, after(second, 2))).toBe("continue");
      expect(await verdictAt(world, after(second, 3))).toBe("history-forked");
      expect(await sequencesAfter(world, after(world.start, 2))).toEqual([3, 1, 2, 1]);
    });

    fact(
      "that was trimmed is too old, fork or no fork",
      async (world) => {
        await append(world, 5);
        await world.openGeneration(1);
        await append(world, 3);

        expect(await verdictAt(world, after(world.start, 2))).toBe("too-old");
        expect(await verdictAt(world, after(world.start, 3))).toBe("continue");
        await append(world, 2);
        expect(await verdictAt(world, after(world.start, 4))).toBe("too-old");
      },
      { logRetention: 4 },
    );

    fact("in a generation before all that is known is too old", async (world) => {
      const older = { ...world.start, generation: world.start.generation - 1 };
      expect(await verdictAt(world, older)).toBe("too-old");

      await append(world, 2);
      await world.openGeneration();

      expect(await verdictAt(world, older)).toBe("too-old");
    });

    fact("in a newer generation is ahead of this replica", async (world) => {
      const newer = { ...world.start, generation: world.start.generation + 1 };

      expect(await verdictAt(world, newer)).toBe("behind");
    });

    fact("does not bring a revoked session back, FAULTS row 18", async (world) => {
      const revoked = await world.create();
      const cut = await world.create();
      await world.revoke(revoked);
      await world.revokeSubject();
      await world.openGeneration();
      const login = await world.create();

      expect(await world.outcome(revoked)).toBe("revoked");
      expect(await world.outcome(cut)).toBe("revoked");
      expect(await world.outcome(login)).toBe("valid");
    });

    fact("leaves live sessions alive and under later cutoffs", async (world) => {
      const session = await world.create();
      await world.openGeneration();
      expect(await world.outcome(session)).toBe("valid");

      await world.revokeSubject();

      expect(await world.outcome(session)).toBe("revoked");
    });
  });
}

function describeDeployment(fact: Fact): void {
  describe("a deployment id", () => {
    fact("stays the same and says nothing", async (world) => {
      const id = await world.store.deploymentId();

      expect(id).toMatch(/^[0-9A-Za-z]{16,64}$/);
      expect(await world.store.deploymentId()).toBe(id);
    });
  });
}
