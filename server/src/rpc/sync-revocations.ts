import type { SyncRevocationsRequest } from "@coatcheck/proto";

import { answerSync } from "../watch/sync.js";
import { encodeSyncAnswer } from "./event-codec.js";
import { parseReceiver } from "./revocation-rules.js";
import type { RevocationEnvironment } from "./revocation-environment.js";

/** Answers one SyncRevocations with the bytes of its response. */
export async function syncRevocations(
  environment: RevocationEnvironment,
  request: SyncRevocationsRequest,
): Promise<Buffer> {
  const { hub, clock, maxStalenessMs, counters } = environment;
  const deploymentId = await environment.deploymentId();
  const receiver = parseReceiver(request, { clock, deploymentId, heads: hub.heads() });
  const answer = await answerSync({ hub, clock, maxStalenessMs }, receiver);
  counters.syncs += 1;
  counters.staleAccepts += Number(request.staleAccepts);
  return encodeSyncAnswer(answer, { deploymentId, maxStalenessMs });
}
