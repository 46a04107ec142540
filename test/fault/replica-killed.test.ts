import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import type { SessionClient } from "@coatcheck/client";

import { eventually } from "../support/eventually.js";
import { freshNamespace, startReplica, type Replica } from "../support/replica.js";
import { SessionApi } from "../support/session-api.js";
import { createService } from "../support/services.js";

/*
 * FAULTS rows 1 (kill -9 server with watchers) and B-14: two replicas behind one
 * target, one killed under load.
 */

const SESSIONS = 40;
const TEST_MS = 60_000;

let replicas: Replica[];
let issuer: SessionClient;
let service: SessionClient;

beforeEach(async () => {
  const options = { redisUrl: inject("redisUrl"), namespace: freshNamespace() };
  replicas = await Promise.all([startReplica(options), startReplica(options)]);
  const target = `ipv4:${replicas.map(({ address }) => address).join(",")}`;
  issuer = createService(target);
  service = createService(target, { cacheEntriesMax: 0 });
  await service.ready({ signal: AbortSignal.timeout(10_000) });
}, TEST_MS);

afterEach(async () => {
  await Promise.all([issuer.close(), service.close()]);
  await Promise.all(replicas.map(async ({ child }) => await child.kill()));
});

describe("two replicas behind one target", () => {
  it(
    "share the calls; kill -9 of one under load fails no validate and resets nothing",
    async () => {
      const created = await Promise.all(
        Array.from(
          { length: SESSIONS },
          async (_none, index) => await issuer.create({ subject: `user-${String(index)}` }),
        ),
      );
      const tokens = created.map(({ token }) => token.reveal());
      const answered = { valid: 0, other: [] as string[] };
      let stopping = false;
      // No cache, so that each validate is a call to one of the two.
      const load = Array.from({ length: 16 }, async (_none, worker) => {
        for (let turn = worker; !stopping; turn += 1) {
          const answer = await service.validate(tokens[turn % SESSIONS]);
          if (answer.kind === "valid") answered.valid += 1;
          else answered.other.push(JSON.stringify(answer));
        }
      });

      // Both take their share before one of them goes.
      await eventually(
        async () => {
          const shares = await Promise.all(
            replicas.map(async ({ address }) => await validCount(address)),
          );
          return Math.min(...shares) > 300;
        },
        { timeoutMs: 20_000 },
      );
      const resetsBefore = service.status().counters.resets;
      await replicas[0]?.child.kill("SIGKILL");
      const afterKill = answered.valid;
      await eventually(() => answered.valid > afterKill + 1_000, { timeoutMs: 20_000 });
      await eventually(() => service.status().state === "fresh" && service.status().isStreaming);
      stopping = true;
      await Promise.all(load);

      expect(answered.other).toEqual([]);
      expect(service.status().counters.resets).toEqual(resetsBefore);
    },
    TEST_MS,
  );

  it(
    "leave out the one that was frozen (SIGSTOP), and take it back when it goes on",
    async () => {
      const { token } = await issuer.create({ subject: "ada" });
      const [frozen] = replicas;
      frozen?.child.pause();
      // Half of the calls wait in vain, until the frozen one's connections are given up.
      // It never shakes hands on a new one, so keepalive's 30 s are not what ends this.
      await eventually(async () => await answersRun(service, token.reveal(), 50), {
        timeoutMs: 15_000,
      });
      await eventually(() => service.status().state === "fresh");
      frozen?.child.resume();

      await eventually(
        async () => {
          const before = await validCount(frozen?.address ?? "");
          await answersRun(service, token.reveal(), 20);
          return (await validCount(frozen?.address ?? "")) > before;
        },
        { timeoutMs: 30_000 },
      );
    },
    TEST_MS,
  );
});

/** Whether so many validations in a row are answered. */
async function answersRun(client: SessionClient, token: string, count: number): Promise<boolean> {
  for (let calls = 0; calls < count; calls += 1) {
    if ((await client.validate(token)).kind !== "valid") return false;
  }
  return true;
}

async function validCount(address: string): Promise<number> {
  const api = new SessionApi(address);
  try {
    return await api.validCount();
  } finally {
    api.close();
  }
}
