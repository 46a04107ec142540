import { afterEach, describe, expect, it } from "vitest";

import { DEFAULT_POLICY } from "#server/session/policy.js";
import { mintSessionId } from "#server/session/token.js";
import {
  createMemoryStore,
  type MemoryStore,
  type MemoryStoreOptions,
} from "#server/store/memory/memory-store.js";
import type { CreateCommand, RequestRecord } from "#server/store/session-store.js";
import { StoreFullError, StoreUnavailableError } from "#server/store/store-error.js";

import { ManualClock } from "../../../../support/manual-clock.js";

const PARTITION = 5;
const stores: MemoryStore[] = [];

function open(options: Partial<MemoryStoreOptions> = {}): {
  readonly store: MemoryStore;
  readonly clock: ManualClock;
} {
  const clock = new ManualClock();
  const store = createMemoryStore({ clock, maxStalenessMs: 3_000, logRetention: 100, ...options });
  stores.push(store);
  return { store, clock };
}

function command(overrides: Partial<CreateCommand> = {}): CreateCommand {
  return {
    sessionId: mintSessionId(PARTITION),
    tenantId: "acme",
    subject: "",
    clientId: "web",
    device: { id: "", ipAddress: "", userAgent: "" },
    policy: DEFAULT_POLICY,
    checked: { aal: 0, amr: [], authenticatedAtMs: undefined },
    facts: Buffer.from("facts"),
    tokenDigest: "d".repeat(64),
    nonce: "00",
    recoveryDigest: undefined,
    request: undefined,
    eventId: "event",
    ...overrides,
  };
}

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

describe("the memory store", () => {
  const request: RequestRecord = { key: "key", argumentsDigest: "arguments" };

  it.each([
    [-1, true],
    [0, false],
    [1, false],
  ])("remembers a request ten minutes %i ms: %s", async (offsetMs, repeated) => {
    const { store, clock } = open();
    await store.sessions.create(command({ request }));

    clock.advance(600_000 + offsetMs);

    expect(await store.sessions.create(command({ request }))).toMatchObject({ repeated });
  });

  it("forgets its oldest request above the limit", async () => {
    const { store } = open({ requestsMax: 2 });
    for (const key of ["first", "second", "third"]) {
      await store.sessions.create(command({ request: { ...request, key } }));
    }

    async function again(key: string): Promise<unknown> {
      return await store.sessions.create(command({ request: { ...request, key } }));
    }

    expect(await again("third")).toMatchObject({ repeated: true });
    expect(await again("second")).toMatchObject({ repeated: true });
    expect(await again("first")).toMatchObject({ repeated: false });
  });

  it("refuses a session above its limit, and answers for those it has", async () => {
    const { store } = open({ sessionsMax: 2 });
    const first = command();
    await store.sessions.create(first);
    await store.sessions.create(command({ sessionId: mintSessionId(PARTITION + 1) }));

    await expect(store.sessions.create(command())).rejects.toThrow(StoreFullError);
    expect((await store.sessions.read(first.sessionId))?.state).toBe("active");
  });

  it("never adopts an id that is taken, S-02", async () => {
    const { store } = open();
    const first = command();
    await store.sessions.create(first);

    await expect(
      store.sessions.create(command({ sessionId: first.sessionId, tokenDigest: "e".repeat(64) })),
    ).rejects.toThrow(StoreUnavailableError);
    expect((await store.sessions.read(first.sessionId))?.version).toBe(1);
  });

  it("keeps its time when the wall clock is set back, R6", async () => {
    const { store, clock } = open();
    const created = command({ policy: { ...DEFAULT_POLICY, absoluteTimeoutMs: 60_000 } });
    await store.sessions.create(created);
    clock.advance(60_000);
    await store.sessions.read(created.sessionId);

    clock.stepWall(-3_600_000);

    expect((await store.sessions.read(created.sessionId))?.state).toBe("expired");
  });

  it("reaps by itself once it is started, and not after it is closed", async () => {
    const { store, clock } = open({ reapIntervalMs: 1_000 });
    const policy = { ...DEFAULT_POLICY, idleTimeoutMs: 1_000, retentionMs: 0 };
    const created = command({ policy });
    await store.start();
    await store.start();
    await store.sessions.create(created);

    expect(clock.timerCount).toBe(1);
    clock.advance(2_500);
    expect(await store.sessions.read(created.sessionId)).toBeUndefined();
    await store.close();
    expect(clock.timerCount).toBe(0);
  });

  it("has no timer where reaping is switched off", async () => {
    const { store, clock } = open({ reapIntervalMs: 0 });
    await store.start();

    expect(clock.timerCount).toBe(0);
  });

  it("fails every call after it is closed, and says that nothing was applied", async () => {
    const { store } = open();
    await store.close();

    await expect(store.sessions.create(command())).rejects.toMatchObject({
      name: "StoreUnavailableError",
      applied: "no",
    });
    await expect(store.log.pull(PARTITION, undefined, 1)).rejects.toThrow(StoreUnavailableError);
    await expect(store.start()).rejects.toThrow(StoreUnavailableError);
  });

  it("rejects a partition that does not exist", async () => {
    const { store } = open();

    await expect(store.log.pull(16, undefined, 1)).rejects.toThrow("it must be below 16");
  });

  it("nudges once for a step that appends many events", async () => {
    const { store } = open();
    const heard: number[] = [];
    store.log.onNudge((partition) => heard.push(partition));
    const sessions = Array.from({ length: 3 }, () => command());
    for (const session of sessions) {
      await store.sessions.create(session);
    }

    await Promise.all(
      sessions.map(({ sessionId }) =>
        store.sessions.revoke({
          sessionId,
          presentedDigest: undefined,
          cause: {
            reason: "admin",
            initiatingEntity: "admin",
            reasonAdmin: "",
            reasonUser: "",
          },
          request: undefined,
          eventId: "event",
        }),
      ),
    );

    expect(heard).toEqual([PARTITION]);
  });

  it("remembers sixteen changes of history and calls what is older too old", async () => {
    const { store } = open();
    const { head } = await store.log.pull(PARTITION, undefined, 1);
    for (let count = 0; count < 16; count += 1) {
      store.control.openGeneration(PARTITION, { lostEvents: 0 });
    }
    expect((await store.log.pull(PARTITION, head, 1)).verdict).toBe("continue");

    store.control.openGeneration(PARTITION, { lostEvents: 0 });

    expect((await store.log.pull(PARTITION, head, 1)).verdict).toBe("too-old");
  });
});
