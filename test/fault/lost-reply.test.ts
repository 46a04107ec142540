import { randomBytes } from "node:crypto";

import {
  RevocationReason,
  RotationTrigger,
  type RevocationEvent,
  type Revision,
  type SyncRevocationsResponse,
} from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { eventually } from "../support/eventually.js";
import { freshNamespace, startReplica, type Replica } from "../support/replica.js";
import { failure, SessionApi } from "../support/session-api.js";

/*
 * FAULTS row 13, R5, I-06: a connection dies in the middle of a mutation, and the
 * caller retries with the same request id. There is one effect and one token,
 * whichever of the two attempts arrives first.
 */

const TEST_MS = 60_000;

let replica: Replica;
let proxy: CutProxy;
/** Through the proxy: the attempt that gets into trouble. */
let shaky: SessionApi;
/** Straight to the replica: the retry. */
let steady: SessionApi;

beforeEach(async () => {
  replica = await startReplica({ redisUrl: inject("redisUrl"), namespace: freshNamespace() });
  proxy = await startCutProxy({ targetPort: replica.port });
  shaky = new SessionApi(proxy.address);
  steady = new SessionApi(replica.address);
}, TEST_MS);

afterEach(async () => {
  shaky.close();
  steady.close();
  await proxy.close();
  await replica.child.kill();
});

/** Sends a mutation; resolves with what identifies its effect. */
type Send = (api: SessionApi) => Promise<string>;

/** A mutation with its request id, to be sent through any connection. */
interface Mutation {
  readonly name: string;
  readonly eventCount: number;
  readonly prepare: () => Promise<Send>;
}

const MUTATIONS: readonly Mutation[] = [
  {
    name: "CreateSession",
    eventCount: 0,
    prepare: async () => {
      const request = { subject: "lost", requestId: "once", retrySecret: randomBytes(32) };
      return await Promise.resolve(async (api) => (await api.create(request)).token);
    },
  },
  {
    name: "RotateSession",
    eventCount: 1,
    prepare: async () => {
      const { token } = await steady.create({ subject: "lost" });
      const request = { token, trigger: RotationTrigger.LOGIN, requestId: "once" };
      return async (api) => (await api.rotate(request)).token;
    },
  },
  {
    name: "RotateSession that binds a subject",
    eventCount: 1,
    prepare: async () => {
      const { token } = await steady.create({ subject: "" });
      const trigger = RotationTrigger.LOGIN;
      const request = { token, trigger, bindSubject: "lost", requestId: "once" };
      return async (api) => (await api.rotate(request)).token;
    },
  },
  {
    name: "UpdateSession",
    eventCount: 1,
    prepare: async () => {
      const { session } = await steady.create({ subject: "lost" });
      const request = {
        sessionId: session?.sessionId ?? "",
        set: new Map([["theme", "dark"]]),
        invalidateCaches: true,
        requestId: "once",
      };
      return async (api) => place((await api.update(request)).revision);
    },
  },
  {
    name: "RevokeSession",
    eventCount: 1,
    prepare: async () => {
      const { session } = await steady.create({ subject: "lost" });
      const target = { $case: "sessionId" as const, value: session?.sessionId ?? "" };
      const request = { target, reason: RevocationReason.USER_LOGOUT, requestId: "once" };
      return async (api) => {
        const { alreadyRevoked, revision } = await api.revoke(request);
        return `${String(alreadyRevoked)} ${place(revision)}`;
      };
    },
  },
];

describe.each(MUTATIONS)("$name", ({ eventCount, prepare }) => {
  it(
    "has one effect and one result when the reply is lost and the call repeated",
    async () => {
      const send = await prepare();
      const before = await steady.sync();
      await shaky.validate("warms the connection up");
      proxy.stall("server-to-client");
      const first = failure(send(shaky));
      // The attempt has been applied when its reply hangs in the proxy.
      await eventually(async () => await hasBeenApplied(before, eventCount));
      proxy.resetAll();

      const retried = await send(steady);
      const again = await send(steady);

      expect(await first).toMatchObject({ code: "UNAVAILABLE" });
      expect(again).toBe(retried);
      expect(await eventsSince(before)).toHaveLength(eventCount);
      expect(await liveSessions("lost")).toBeLessThanOrEqual(1);
    },
    TEST_MS,
  );

  it(
    "has one effect and one result when the first attempt arrives after the retry",
    async () => {
      const send = await prepare();
      const before = await steady.sync();
      await shaky.validate("warms the connection up");
      proxy.stall("client-to-server");
      const first = send(shaky);

      const retried = await send(steady);
      proxy.heal();

      expect(await first).toBe(retried);
      expect(await eventsSince(before)).toHaveLength(eventCount);
      expect(await liveSessions("lost")).toBeLessThanOrEqual(1);
    },
    TEST_MS,
  );
});

async function hasBeenApplied(
  before: SyncRevocationsResponse,
  eventCount: number,
): Promise<boolean> {
  return eventCount === 0
    ? (await liveSessions("lost")) === 1
    : (await eventsSince(before)).length >= eventCount;
}

async function eventsSince(before: SyncRevocationsResponse): Promise<RevocationEvent[]> {
  const { heads, deploymentId } = before;
  return (await steady.sync({ position: heads, deploymentId })).events;
}

async function liveSessions(subject: string): Promise<number> {
  return (await steady.list({ subject })).sessions.length;
}

function place(revision: Revision | undefined): string {
  return `${String(revision?.generation)}-${String(revision?.sequence)}`;
}
