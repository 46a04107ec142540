import {
  InitiatingEntity,
  Propagation,
  type RevokeAllSessionsRequest,
  type RevokeAllSessionsResponse,
} from "@coatcheck/proto";

import { randomBase62 } from "../base/random.js";
import type { SessionStore } from "../store/session-store.js";
import { REVOKE_ALL_RULES } from "./admin-rules.js";
import { millisToDuration, toWireRevision } from "./convert.js";
import { inEveryPartition } from "./every-partition.js";
import { causeEffect, causeOf, effectiveWithinMs } from "./revoke-session.js";
import { enforceRules } from "./rules.js";
import { requestIdReused, requestRecord, type SessionCounters } from "./session-environment.js";
import { RpcError } from "./status.js";
import type { CallContext } from "./unary.js";

/** What RevokeAllSessions works with. */
export interface RevokeAllEnvironment {
  readonly store: SessionStore;
  readonly counters: Pick<SessionCounters, "countEvents">;
}

/**
 * Ends every session of every tenant, by one cutoff in each partition. A repeat with
 * the same request id does the partitions that are missing and leaves the others,
 * so that logins after the first attempt live where it got to.
 */
export async function revokeAllSessions(
  { store, counters }: RevokeAllEnvironment,
  request: RevokeAllSessionsRequest,
  { origin }: CallContext,
): Promise<RevokeAllSessionsResponse> {
  enforceRules(REVOKE_ALL_RULES, request);
  const caused = { ...request, initiatingEntity: InitiatingEntity.ADMIN };
  const eventId = randomBase62(22);
  const revoked = await inEveryPartition("revoke all sessions", async (partition) => {
    const result = await store.revokeScope({
      partition,
      scope: { kind: "all" },
      cause: causeOf(caused),
      request: requestRecord({
        method: "RevokeAllSessions",
        scope: [String(partition)],
        requestId: request.requestId,
        effect: causeEffect(caused),
      }),
      eventId: `${eventId}.${partition}`,
      audit: origin,
    });
    switch (result.kind) {
      case "revoked":
        return result;
      case "request-id-reused":
        throw requestIdReused();
      case "except-not-live":
      case "too-many-cutoffs":
        throw new RpcError("INTERNAL", "The authority failed to answer; its log has the cause");
    }
  });
  counters.countEvents(revoked.length);
  const leaseMaxMs = Math.max(...revoked.map((one) => one.leaseMaxMs));
  return {
    revisions: revoked.map(({ revision }) => toWireRevision(revision)),
    achieved: Propagation.COMMITTED,
    effectiveWithin: millisToDuration(effectiveWithinMs(leaseMaxMs)),
  };
}
