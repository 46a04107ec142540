import type { SyncRevocationsRequest } from "@coatcheck/proto";

import type { Caller } from "../callers/caller.js";
import type { Revision } from "../session/revision.js";
import { answerSync, type SyncAnswer } from "../watch/sync.js";
import { encodeSyncAnswer } from "./event-codec.js";
import { parseReceiver } from "./revocation-rules.js";
import type { RevocationEnvironment } from "./revocation-environment.js";

/** Answers one SyncRevocations with the bytes of its response. */
export async function syncRevocations(
  environment: RevocationEnvironment,
  request: SyncRevocationsRequest,
  caller: Caller,
): Promise<Buffer> {
  const { hub, clock, maxStalenessMs, counters, incidents, instances } = environment;
  const deploymentId = await environment.deploymentId();
  const receiver = parseReceiver(request, {
    clock,
    deploymentId,
    heads: hub.heads(),
    caller,
  });
  // Clients wait for a quarter of the bound they were granted; 0 grants none and they keep theirs.
  const boundMs = incidents.maxStalenessMs === 0 ? maxStalenessMs : incidents.maxStalenessMs;
  const answer = await answerSync({ hub, clock, maxStalenessMs: boundMs }, receiver);
  counters.syncs += 1;
  counters.staleAccepts += Number(request.staleAccepts);
  instances.note({
    identity: receiver.identity,
    position: reached(answer),
    staleAllowed: request.staleAllowed,
    staleAccepts: Number(request.staleAccepts),
  });
  // Asked after the pulls of this answer, which have brought along what they found.
  return encodeSyncAnswer(answer, { deploymentId, maxStalenessMs: incidents.maxStalenessMs });
}

/** Where the caller is once it has applied the answer. */
function reached({ ranges }: SyncAnswer): readonly Revision[] {
  return ranges.map(({ through }) => through);
}
