import { randomBytes } from "node:crypto";

import {
  CreateSessionRequest,
  ListSessionsRequest,
  RevocationReason,
  RevokeSessionRequest,
  RotateSessionRequest,
  RotationTrigger,
  SyncRevocationsRequest,
  UpdateSessionRequest,
  type CreateSessionResponse,
  type RevocationEvent,
  type Revision,
  type SyncRevocationsResponse,
} from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { unary } from "../support/call.js";
import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { eventually } from "../support/eventually.js";
import {
  connectRaw,
  freshNamespace,
  startReplica,
  statusOf,
  type RawClient,
  type Replica,
} from "../support/replica.js";

/*
 * FAULTS row 13, R5, I-06: a connection dies in the middle of a mutation, and the
 * caller retries with the same request id. There is one effect and one token,
 * whichever of the two attempts arrives first.
 */

const TEST_MS = 60_000;

let replica: Replica;
let proxy: CutProxy;
/** Through the proxy: the attempt that gets into trouble. */
let shaky: RawClient;
/** Straight to the replica: the retry. */
let steady: RawClient;

beforeEach(async () => {
  replica = await startReplica({ redisUrl: inject("redisUrl"), namespace: freshNamespace() });
  proxy = await startCutProxy({ targetPort: replica.port });
  shaky = connectRaw(proxy.address);
  steady = connectRaw(replica.address);
}, TEST_MS);

afterEach(async () => {
  shaky.close();
  steady.close();
  await proxy.close();
  await replica.child.kill();
});

/** A mutation with its request id, to be sent through any client. */
interface Mutation {
  readonly name: string;
  readonly eventCount: number;
  /** Sends it; resolves with what identifies its effect. */
  prepare(): Promise<(client: RawClient) => Promise<string>>;
}

const MUTATIONS: readonly Mutation[] = [
  {
    name: "CreateSession",
    eventCount: 0,
    prepare: async () => {
      await Promise.resolve();
      const request = newSession("lost", "create-once");
      return async (client) => (await create(client, request)).token;
    },
  },
  {
    name: "RotateSession",
    eventCount: 1,
    prepare: async () => {
      const { token } = await create(steady, newSession("lost"));
      const request = RotateSessionRequest.create({
        token,
        trigger: RotationTrigger.LOGIN,
        requestId: "rotate-once",
      });
      return async (client) =>
        (await unary(client.sessions.rotateSession.bind(client.sessions), request)).token;
    },
  },
  {
    name: "RotateSession that binds a subject",
    eventCount: 1,
    prepare: async () => {
      const { token } = await create(steady, newSession(""));
      const request = RotateSessionRequest.create({
        token,
        trigger: RotationTrigger.LOGIN,
        bindSubject: "lost",
        requestId: "bind-once",
      });
      return async (client) =>
        (await unary(client.sessions.rotateSession.bind(client.sessions), request)).token;
    },
  },
  {
    name: "UpdateSession",
    eventCount: 1,
    prepare: async () => {
      const { session } = await create(steady, newSession("lost"));
      const request = UpdateSessionRequest.create({
        sessionId: session?.sessionId ?? "",
        set: new Map([["theme", "dark"]]),
        invalidateCaches: true,
        requestId: "update-once",
      });
      return async (client) => {
        const reply = await unary(client.sessions.updateSession.bind(client.sessions), request);
        return place(reply.revision);
      };
    },
  },
  {
    name: "RevokeSession",
    eventCount: 1,
    prepare: async () => {
      const { session } = await create(steady, newSession("lost"));
      const request = RevokeSessionRequest.create({
        target: { $case: "sessionId", value: session?.sessionId ?? "" },
        reason: RevocationReason.USER_LOGOUT,
        requestId: "revoke-once",
      });
      return async (client) => {
        const reply = await unary(client.sessions.revokeSession.bind(client.sessions), request);
        return `${String(reply.alreadyRevoked)} ${place(reply.revision)}`;
      };
    },
  },
];

describe.each(MUTATIONS)("$name", ({ eventCount, prepare }) => {
  it(
    "has one effect and one result when the reply is lost and the call repeated",
    async () => {
      const send = await prepare();
      const before = await position();
      await shaky.validate("warms the connection up");
      proxy.stall("server-to-client");
      const first = statusOf(send(shaky));
      // The attempt has been applied when its reply hangs in the proxy.
      await eventually(async () => await hasBeenApplied(before, eventCount));
      proxy.resetAll();

      const retried = await send(steady);
      const again = await send(steady);

      expect(await first).toBe("UNAVAILABLE");
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
      const before = await position();
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

function newSession(subject: string, requestId = ""): CreateSessionRequest {
  return CreateSessionRequest.create({
    tenantId: "acme",
    subject,
    requestId,
    retrySecret: requestId === "" ? Buffer.alloc(0) : randomBytes(32),
  });
}

async function create(
  client: RawClient,
  request: CreateSessionRequest,
): Promise<CreateSessionResponse> {
  return await unary(client.sessions.createSession.bind(client.sessions), request);
}

async function hasBeenApplied(
  before: SyncRevocationsResponse,
  eventCount: number,
): Promise<boolean> {
  return eventCount === 0
    ? (await liveSessions("lost")) === 1
    : (await eventsSince(before)).length >= eventCount;
}

async function position(): Promise<SyncRevocationsResponse> {
  return await sync({});
}

async function eventsSince(before: SyncRevocationsResponse): Promise<RevocationEvent[]> {
  const { heads, deploymentId } = before;
  return (await sync({ position: heads, deploymentId })).events;
}

async function sync(fields: Partial<SyncRevocationsRequest>): Promise<SyncRevocationsResponse> {
  const request = SyncRevocationsRequest.create({ clientName: "test", ...fields });
  return await unary(steady.revocations.syncRevocations.bind(steady.revocations), request);
}

async function liveSessions(subject: string): Promise<number> {
  const request = ListSessionsRequest.create({ tenantId: "acme", subject });
  const reply = await unary(steady.sessions.listSessions.bind(steady.sessions), request);
  return reply.sessions.length;
}

function place(revision: Revision | undefined): string {
  return `${String(revision?.generation)}-${String(revision?.sequence)}`;
}
