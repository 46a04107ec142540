import type { SetIncidentModeRequest, SetIncidentModeResponse } from "@coatcheck/proto";

import { randomBase62 } from "../base/random.js";
import type { Store } from "../store/store.js";
import { incidentRules } from "./admin-rules.js";
import { ceilMillis, millisToDuration, millisToTimestamp } from "./convert.js";
import { inEveryPartition } from "./every-partition.js";
import { effectiveWithinMs } from "./revoke-session.js";
import { enforceRules } from "./rules.js";
import type { CallContext } from "./unary.js";

/** What SetIncidentMode works with. */
export interface IncidentEnvironment {
  readonly store: Pick<Store, "setIncident">;
  /** The staleness bound L of quiet times, in ms. */
  readonly maxStalenessMs: number;
  /** How late another replica may hear of it, in ms: its pull interval. */
  readonly pullIntervalMs: number;
}

/**
 * Tightens the deployment for a time. What was granted before holds until it lapses:
 * the old bound, after the last replica has heard of the new one. The last call
 * wins as a whole; what it leaves out is as configured.
 */
export async function setIncidentMode(
  environment: IncidentEnvironment,
  request: SetIncidentModeRequest,
  { origin }: CallContext,
): Promise<SetIncidentModeResponse> {
  const { store, maxStalenessMs, pullIntervalMs } = environment;
  enforceRules(incidentRules(maxStalenessMs), request);
  const eventId = randomBase62(22);
  const set = await inEveryPartition("set the incident mode", (partition) =>
    store.setIncident({
      partition,
      lastsMs: request.lasts === undefined ? 0 : ceilMillis(request.lasts),
      maxStalenessMs:
        request.maxStaleness === undefined ? undefined : ceilMillis(request.maxStaleness),
      stopCaching: request.stopCaching,
      stopCreating: request.stopCreating,
      eventId,
      audit: partition === 0 ? origin : undefined,
    }),
  );
  const ends = set.flatMap(({ endsAtMs }) => (endsAtMs === undefined ? [] : [endsAtMs]));
  const leaseMaxMs = Math.max(...set.map((one) => one.leaseMaxMs));
  return {
    endsAt: ends.length === 0 ? undefined : millisToTimestamp(Math.max(...ends)),
    effectiveWithin: millisToDuration(effectiveWithinMs(leaseMaxMs) + pullIntervalMs),
  };
}
