import { describe, expect } from "vitest";

import type { ListCursor, SessionRecord } from "#server/store/session-store.js";

import { type Fact, START_MS, SUBJECT, TENANT, type World } from "../world.js";

/** Reading one record and listing a subject's. */
export function describeRead(fact: Fact): void {
  describe("a read", () => {
    fact("of an unknown id finds nothing", async (world) => {
      expect(await world.store.sessions.read(world.createCommand().sessionId)).toBeUndefined();
    });

    fact("is no use of the session", async (world) => {
      const session = await world.create();
      await world.at(120_000);

      const record = await world.store.sessions.read(session.sessionId);

      expect(record).toMatchObject({ lastSeenAtMs: START_MS, nowMs: START_MS + 120_000 });
      expect((await world.validate(session)).record?.lastSeenAtMs).toBe(START_MS);
    });

    fact("shows a session under a cutoff as revoked, with the cutoff's reason", async (world) => {
      const session = await world.create();
      await world.at(1_000);
      await world.revokeSubject();
      await world.at(2_000);

      expect(await world.store.sessions.read(session.sessionId)).toMatchObject({
        state: "revoked",
        end: {
          reason: "admin",
          initiatingEntity: "admin",
          reasonUser: "Signed out by support",
          atMs: START_MS + 1_000,
        },
      });
    });
  });
  describeList(fact);
}

function describeList(fact: Fact): void {
  describe("a list", () => {
    fact("shows the live sessions of one subject, oldest first", async (world) => {
      const sessions = await createMany(world, 3);
      await world.create({ subject: "bob" });
      await world.create({ tenantId: "umbrella" });
      await world.revoke(sessions[1] ?? expect.fail("no session"));

      const listed = await listAll(world, 10);

      expect(listed.map(({ sessionId }) => sessionId)).toEqual([
        sessions[0]?.sessionId,
        sessions[2]?.sessionId,
      ]);
      expect(listed[0]).toEqual(
        await world.store.sessions.read(sessions[0]?.sessionId ?? expect.fail("no session")),
      );
    });

    fact("leaves out what has expired or is under a cutoff", async (world) => {
      // Without a limit a creation does not walk the index, so nothing leaves it.
      const policy = { maxSessionsPerSubject: 0 };
      await world.create({ policy });
      await world.revokeSubject();
      await world.create({ policy: { ...policy, idleTimeoutMs: 1_000 } });
      const live = await world.create({ policy });
      await world.at(1_000);

      expect((await listAll(world, 10)).map(({ sessionId }) => sessionId)).toEqual([
        live.sessionId,
      ]);
    });

    fact("of a subject without sessions is empty and complete", async (world) => {
      expect(
        await world.store.sessions.list({
          tenantId: TENANT,
          subject: SUBJECT,
          limit: 1,
          after: undefined,
        }),
      ).toEqual({ records: [], next: undefined });
    });

    for (const limit of [1, 2, 3, 7, 8, 100]) {
      fact(`in pages of ${limit} shows each session once`, async (world) => {
        const sessions = await createMany(world, 7);

        const listed = await listAll(world, limit);

        expect(listed.map(({ sessionId }) => sessionId)).toEqual(
          sessions.map(({ sessionId }) => sessionId),
        );
      });
    }

    fact("in pages shows sessions of the same instant once each", async (world) => {
      const sessions = [];
      for (let count = 0; count < 7; count += 1) {
        sessions.push(await world.create({ policy: { maxSessionsPerSubject: 0 } }));
      }

      const listed = await listAll(world, 2);

      expect(listed.map(({ sessionId }) => sessionId)).toEqual(
        sessions.map(({ sessionId }) => sessionId).toSorted(),
      );
    });

    fact("goes on after a cursor whose session has ended", async (world) => {
      const sessions = await createMany(world, 4);
      const page = await world.store.sessions.list({
        tenantId: TENANT,
        subject: SUBJECT,
        limit: 2,
        after: undefined,
      });
      await world.revoke(sessions[1] ?? expect.fail("no session"));

      const rest = await listAll(world, 2, page.next);

      expect(rest.map(({ sessionId }) => sessionId)).toEqual(
        sessions.slice(2).map(({ sessionId }) => sessionId),
      );
    });

    fact(
      "shows what was there throughout, whatever is created between its pages",
      async (world) => {
        const sessions = await createMany(world, 4);
        const page = await world.store.sessions.list({
          tenantId: TENANT,
          subject: SUBJECT,
          limit: 2,
          after: undefined,
        });
        await world.at(60_000);
        const later = await world.create({ policy: { maxSessionsPerSubject: 0 } });

        const rest = await listAll(world, 2, page.next);

        expect([...page.records, ...rest].map(({ sessionId }) => sessionId)).toEqual(
          [...sessions, later].map(({ sessionId }) => sessionId),
        );
      },
    );
  });
}

/** Sessions a second apart, under a policy without limit. */
async function createMany(
  world: World,
  count: number,
): Promise<readonly { readonly sessionId: string }[]> {
  const sessions = [];
  for (let number = 0; number < count; number += 1) {
    await world.at(number * 1_000);
    sessions.push(await world.create({ policy: { maxSessionsPerSubject: 0 } }));
  }
  return sessions;
}

async function listAll(
  world: World,
  limit: number,
  after?: ListCursor,
): Promise<readonly SessionRecord[]> {
  const records: SessionRecord[] = [];
  let cursor = after;
  do {
    const page = await world.store.sessions.list({
      tenantId: TENANT,
      subject: SUBJECT,
      limit,
      after: cursor,
    });
    expect(page.records.length).toBeLessThanOrEqual(limit);
    records.push(...page.records);
    cursor = page.next;
  } while (cursor !== undefined);
  return records;
}
