import { ResetReason, type Revision, SyncRevocationsRequest } from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../support/eventually.js";
import { StrictReader } from "../unit/server/watch/apply-stream.js";
import { startWatchAuthority, type WatchAuthority } from "./watch-client.js";

let server: WatchAuthority;
let deploymentId: string;

beforeEach(async () => {
  server = await startWatchAuthority({ maxStalenessMs: 1000 });
  deploymentId = await server.store.deploymentId();
});

afterEach(async () => {
  await server.close();
});

async function headOf(partition: number): Promise<Revision> {
  const { heads } = await server.sync();
  const head = heads.find((revision) => revision.partition === partition);
  if (head === undefined) throw new Error(`Partition ${partition} did not answer`);
  return head;
}

function behind(head: Revision, events: number): Revision {
  return { ...head, sequence: head.sequence - BigInt(events) };
}

async function opened(
  position: readonly Revision[] = [],
): Promise<ReturnType<WatchAuthority["watch"]>> {
  const watch = server.watch({ position: [...position], deploymentId });
  await eventually(() => watch.messages.length > 0);
  return watch;
}

describe("WatchRevocations", () => {
  it("opens at all heads with the deployment and L", async () => {
    const watch = await opened();

    const [first] = watch.messages;
    if (first?.body?.$case !== "opened") throw new Error("It did not open");
    expect(first.body.value.position).toHaveLength(16);
    expect(first.body.value.deploymentId).toBe(deploymentId);
    expect(first.body.value.maxStaleness).toEqual({ seconds: 1n, nanos: 0 });
  });

  it("pushes an event with what it says", async () => {
    const watch = await opened();

    const eventId = await server.revoke(5, { subject: "ann" });
    await eventually(() => watch.eventIds().length > 0);

    const batch = watch.messages.find(({ body }) => body?.$case === "batch");
    if (batch?.body?.$case !== "batch") throw new Error("No batch");
    expect(batch.body.value.events[0]).toMatchObject({
      eventId,
      tenantId: "acme",
      target: { $case: "subject", value: { subject: "ann" } },
      revision: { partition: 5 },
    });
  });

  it.each([0, 1, 3])(
    "resumes %i events behind the head without a reset (row 14)",
    async (events) => {
      for (let index = 0; index < 3; index += 1) await server.revoke(2);
      const watch = await opened([behind(await headOf(2), events)]);

      const last = await server.revoke(2);
      await eventually(() => watch.eventIds().includes(last));

      expect(watch.eventIds()).toHaveLength(events + 1);
      expect(watch.kinds()).not.toContain("reset");
      new StrictReader().readAll(watch.messages);
    },
  );

  it("resets a position that was trimmed, and goes on (row 17: window trimmed)", async () => {
    const start = await headOf(2);
    for (let index = 0; index < 10_001; index += 1) await server.revoke(2);
    const watch = await opened([start]);

    await eventually(() => watch.kinds().includes("reset"));
    const last = await server.revoke(2);
    await eventually(() => watch.eventIds().includes(last));

    const reader = new StrictReader().readAll(watch.messages);
    expect(reader.resets).toEqual([{ partition: 2, reason: ResetReason.TOO_OLD }]);
  });

  it("resets a position of a lost history and keeps one that survived", async () => {
    for (let index = 0; index < 3; index += 1) await server.revoke(2);
    for (let index = 0; index < 3; index += 1) await server.revoke(3);
    const [lost, kept] = [await headOf(2), await headOf(3)];
    server.store.control.openGeneration(2, { lostEvents: 1 });
    server.store.control.openGeneration(3, { lostEvents: 0 });

    const watch = await opened([lost, kept]);
    const last = [await server.revoke(2), await server.revoke(3)];
    await eventually(() => last.every((id) => watch.eventIds().includes(id)));

    const reader = new StrictReader().readAll(watch.messages);
    expect(reader.resets).toEqual([{ partition: 2, reason: ResetReason.HISTORY_FORKED }]);
  });

  it("leaves out a partition where the client is ahead, and ends BEHIND after L", async () => {
    const head = await headOf(2);
    const watch = await opened([{ ...head, sequence: head.sequence + 1n }]);
    const [first] = watch.messages;
    expect(first?.body?.$case === "opened" ? first.body.value.position : []).toHaveLength(15);

    await watch.ended;

    expect(watch.refusal).toMatchObject({ code: "UNAVAILABLE", reason: "BEHIND" });
  });

  it("refuses a position of another deployment", async () => {
    const watch = server.watch({ position: [await headOf(2)], deploymentId: "elsewhere" });

    await watch.ended;

    expect(watch.refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "WRONG_DEPLOYMENT" });
  });

  it("refuses what cannot be a position, and names field and bound", async () => {
    const head = await headOf(2);
    const watch = server.watch({ position: [{ ...head, partition: 16 }], deploymentId });

    await watch.ended;

    expect(watch.refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD" });
    expect(watch.refusal?.metadata.get("field")).toBe("position.partition");
    expect(watch.refusal?.metadata.get("bound")).toBe("below 16");
  });

  it("sends a watcher of one tenant only its own events, with ranges that cover the others", async () => {
    const watch = server.watch({ tenantIds: ["mine"] });
    await eventually(() => watch.messages.length > 0);

    for (let index = 0; index < 50; index += 1) await server.revoke(4, { tenantId: "other" });
    const mine = await server.revoke(4, { tenantId: "mine" });
    await eventually(() => watch.eventIds().includes(mine));

    expect(watch.eventIds()).toEqual([mine]);
    new StrictReader().readAll(watch.messages);
  });
});

describe("SyncRevocations", () => {
  it("returns what was committed before it was asked", async () => {
    const start = await headOf(7);
    const eventId = await server.revoke(7);

    const response = await server.sync({ position: [start], deploymentId });

    expect(response.events.map((event) => event.eventId)).toEqual([eventId]);
    expect(response.heads).toHaveLength(16);
    expect(response.ranges).toHaveLength(16);
    expect(response.maxStaleness).toEqual({ seconds: 1n, nanos: 0 });
    expect(response.deploymentId).toBe(deploymentId);
  });

  it("leaves out a partition where the caller is ahead", async () => {
    const head = await headOf(7);

    const { heads } = await server.sync({
      position: [{ ...head, generation: head.generation + 1n }],
      deploymentId,
    });

    expect(heads.map(({ partition }) => partition)).not.toContain(7);
    expect(heads).toHaveLength(15);
  });

  it("answers resets by the resume table", async () => {
    await server.revoke(7);
    const lost = await headOf(7);
    server.store.control.openGeneration(7, { lostEvents: 1 });

    const { resets, heads } = await server.sync({ position: [lost], deploymentId });

    expect(resets).toEqual([
      {
        at: [heads.find(({ partition }) => partition === 7)],
        reason: ResetReason.HISTORY_FORKED,
      },
    ]);
  });

  it("refuses a position of another deployment, or of none", async () => {
    const position = [await headOf(7)];

    for (const other of ["", "elsewhere"]) {
      expect(await server.syncRefusal({ position, deploymentId: other })).toMatchObject({
        code: "INVALID_ARGUMENT",
        reason: "WRONG_DEPLOYMENT",
      });
    }
  });

  it("refuses a generation an hour ahead of the clock", async () => {
    const head = await headOf(7);
    const generation = BigInt(Date.now() + 2 * 3_600_000) * 1000n;

    const refusal = await server.syncRefusal({ position: [{ ...head, generation }], deploymentId });

    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD" });
    expect(refusal.metadata.get("field")).toBe("position.generation");
  });

  it("counts its calls for the statistics", async () => {
    await server.sync();
    await server.sync();

    expect(server.authority.stats().syncs).toBe(2);
  });
});

describe("any request", () => {
  it("survives 10,000 random requests in bytes, and serves afterwards (R9)", async () => {
    const random = generator(20_261_121);
    const definition = {
      path: "/coatcheck.v1.RevocationService/SyncRevocations",
      requestStream: false as const,
      responseStream: false as const,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    };
    const start = await headOf(0);
    const { heads } = await server.sync();
    let answered = 0;

    for (let round = 0; round < 100; round += 1) {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const bytes = randomRequest(random, start);
          await new Promise<void>((resolve) => {
            server.client.makeUnaryRequest(
              definition.path,
              definition.requestSerialize,
              definition.responseDeserialize,
              bytes,
              () => {
                answered += 1;
                resolve();
              },
            );
          });
        }),
      );
    }

    expect(answered).toBe(10_000);
    expect((await server.sync()).heads).toEqual(heads);
    const eventId = await server.revoke(0);
    const { events } = await server.sync({ position: [start], deploymentId });
    expect(events.map((event) => event.eventId)).toEqual([eventId]);
  }, 60_000);

  it("survives 10,000 random requests for a stream, and nothing has changed (R9)", async () => {
    const random = generator(7);
    await server.revoke(0);
    const start = await headOf(0);
    const { heads } = await server.sync();
    let opened = 0;

    for (let round = 0; round < 200; round += 1) {
      const requests = Array.from({ length: 50 }, () => randomRequest(random, start));
      const answers = await Promise.all(requests.map(isOpened));
      opened += answers.filter(Boolean).length;
    }

    // Both are among them: what a replica serves, and what it refuses.
    expect(opened).toBeGreaterThan(1000);
    expect(opened).toBeLessThan(9000);
    await eventually(() => server.authority.stats().watchers === 0);
    expect((await server.sync()).heads).toEqual(heads);
    const watch = server.watch({ position: [start], deploymentId });
    const eventId = await server.revoke(0);
    await eventually(() => watch.eventIds().includes(eventId));
    expect(watch.eventIds()).toEqual([eventId]);
  }, 120_000);

  /** Whether a stream with this request has begun, rather than been refused. Cancels it. */
  async function isOpened(bytes: Buffer): Promise<boolean> {
    const call = server.client.makeServerStreamRequest(
      "/coatcheck.v1.RevocationService/WatchRevocations",
      (request: Buffer) => request,
      (response: Buffer) => response,
      bytes,
    );
    return await new Promise<boolean>((resolve) => {
      call.on("error", () => {
        resolve(false);
      });
      call.once("data", () => {
        resolve(true);
        call.cancel();
      });
    });
  }

  function randomRequest(random: () => number, head: Revision): Buffer {
    if (random() < 0.3) {
      return Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => random() * 256));
    }
    // The two requests have these fields in common, under the same numbers.
    const encoded = SyncRevocationsRequest.encode(
      SyncRevocationsRequest.fromPartial({
        position: randomPosition(random, head),
        deploymentId: random() < 0.8 ? deploymentId : "x",
      }),
    ).finish();
    const bytes = Buffer.from(encoded);
    if (random() < 0.3 && bytes.length > 0) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    return random() < 0.2 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
  }

  function randomPosition(random: () => number, head: Revision): Revision[] {
    return Array.from({ length: Math.floor(random() * 4) }, () => ({
      partition: Math.floor(random() * 20),
      generation: pick(random, [
        0n,
        1n,
        head.generation,
        head.generation + 1n,
        2n ** 53n,
        2n ** 64n - 1n,
      ]),
      sequence: pick(random, [0n, 1n, head.sequence, 9_999n, 2n ** 53n - 1n, 2n ** 63n]),
    }));
  }
});

function pick<T>(random: () => number, values: readonly [T, ...T[]]): T {
  return values[Math.floor(random() * values.length)] ?? values[0];
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
