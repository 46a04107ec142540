import type { TouchSessionsRequest, TouchSessionsResponse } from "@coatcheck/proto";

import { type Caller, tenantIdsOf } from "../callers/caller.js";
import { partitionOf } from "../session/partition.js";
import type { SessionUse } from "../store/session-store.js";
import { ceilMillis, toWireOutcome } from "./convert.js";
import { enforceRules } from "./rules.js";
import type { SessionEnvironment } from "./session-environment.js";
import { TOUCH_ITEM_RULES, TOUCH_RULES } from "./validate.js";

interface Group {
  readonly indexes: number[];
  readonly uses: SessionUse[];
}

/**
 * Records uses that caches answered. Fails as a whole where a partition is away;
 * a repeat does no harm, because only the latest use of a session counts.
 */
export async function touchSessions(
  environment: SessionEnvironment,
  request: TouchSessionsRequest,
  caller: Caller,
): Promise<TouchSessionsResponse> {
  enforceRules(TOUCH_RULES, request);
  const groups = groupByPartition(request);
  const tenantIds = tenantIdsOf(caller);
  const outcomes = request.items.map(() => toWireOutcome("not-found"));
  await Promise.all(
    [...groups].map(async ([partition, { indexes, uses }]) => {
      const answers = await environment.store.touch(partition, uses, tenantIds);
      answers.forEach((outcome, position) => {
        const index = indexes[position];
        if (index !== undefined) outcomes[index] = toWireOutcome(outcome);
      });
    }),
  );
  return { outcomes };
}

function groupByPartition(request: TouchSessionsRequest): Map<number, Group> {
  const groups = new Map<number, Group>();
  request.items.forEach((item, index) => {
    enforceRules(TOUCH_ITEM_RULES, item);
    const partition = partitionOf(item.sessionId);
    const group = groups.get(partition) ?? { indexes: [], uses: [] };
    group.indexes.push(index);
    group.uses.push({
      sessionId: item.sessionId,
      tokenDigest: item.tokenSha256.toString("hex"),
      // Rounded up: a use is never dated later than it was, so idle never ends late.
      idleForMs: item.idleFor === undefined ? 0 : ceilMillis(item.idleFor),
    });
    groups.set(partition, group);
  });
  return groups;
}
