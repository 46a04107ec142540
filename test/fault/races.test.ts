import {
  RevocationReason,
  RotationTrigger,
  ValidationOutcome,
  type CreateSessionResponse,
  type RotateSessionResponse,
} from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";

import { freshNamespace, startReplica } from "../support/replica.js";
import { SessionApi } from "../support/session-api.js";
import type { Child } from "../support/child.js";

/*
 * Races over the wire, through two replicas at once, so that nothing but the
 * scripts can keep order (S-06, S-10, I-03).
 */

const AT_ONCE = 64;
const TEST_MS = 60_000;

let children: Child[];
let apis: SessionApi[];

beforeEach(async () => {
  const options = { redisUrl: inject("redisUrl"), namespace: freshNamespace() };
  const replicas = await Promise.all([startReplica(options), startReplica(options)]);
  children = replicas.map(({ child }) => child);
  apis = replicas.map(({ address }) => new SessionApi(address));
}, TEST_MS);

afterEach(async () => {
  for (const api of apis) api.close();
  await Promise.all(children.map(async (child) => await child.kill()));
});

describe("races through two replicas", () => {
  it(
    `${String(AT_ONCE)} creates at limit 3 leave 3 live and evict ${String(AT_ONCE - 3)}, each once`,
    async () => {
      const { heads, deploymentId } = await one().sync();

      const created = await Promise.all(Array.from({ length: AT_ONCE }, (_none, at) => create(at)));
      const listed = await one().list({ subject: "ada" });
      const { events } = await one().sync({ position: heads, deploymentId });

      const ids = created.map(({ session }) => session?.sessionId ?? "");
      const evicted = events.map(({ target }) =>
        target?.$case === "session" ? target.value.sessionId : "",
      );
      const live = listed.sessions.map(({ sessionId }) => sessionId);
      expect(live).toHaveLength(3);
      expect(events.every(({ reason }) => reason === RevocationReason.LIMIT_EXCEEDED)).toBe(true);
      expect(evicted).toHaveLength(AT_ONCE - 3);
      expect(new Set([...live, ...evicted])).toEqual(new Set(ids));
      expect(created.flatMap((reply) => reply.evicted).sort()).toEqual([...evicted].sort());
    },
    TEST_MS,
  );

  it(
    `${String(AT_ONCE)} PERIODIC rotations with one token hand out one successor`,
    async () => {
      const { token } = await create(0);

      const rotated = await Promise.all(
        Array.from({ length: AT_ONCE }, (_none, at) => rotate(token, RotationTrigger.PERIODIC, at)),
      );

      expect(new Set(rotated.map((reply) => reply.outcome))).toEqual(
        new Set([ValidationOutcome.VALID]),
      );
      expect(new Set(rotated.map((reply) => reply.token)).size).toBe(1);
      expect(new Set(rotated.map((reply) => String(reply.revision?.sequence))).size).toBe(1);
    },
    TEST_MS,
  );

  it(
    "two LOGIN rotations fired at once with one token log nobody out",
    async () => {
      const { token } = await create(0);

      const replies = await Promise.all(
        [0, 1].map((at) => rotate(token, RotationTrigger.LOGIN, at)),
      );

      const outcomes = replies.map(({ outcome }) => outcome);
      expect(outcomes.sort()).toEqual([ValidationOutcome.VALID, ValidationOutcome.ROTATED]);
      const winner = replies.find(({ outcome }) => outcome === ValidationOutcome.VALID);
      expect(replies.filter((reply) => reply.token !== "")).toHaveLength(1);
      expect((await one().validate(winner?.token ?? "")).outcome).toBe(ValidationOutcome.VALID);
    },
    TEST_MS,
  );
});

function one(at = 0): SessionApi {
  const api = apis[at % apis.length];
  if (api === undefined) throw new Error("There is no replica");
  return api;
}

async function create(at: number): Promise<CreateSessionResponse> {
  return await one(at).create({ subject: "ada" });
}

async function rotate(
  token: string,
  trigger: RotationTrigger,
  at: number,
): Promise<RotateSessionResponse> {
  return await one(at).rotate({ token, trigger });
}
