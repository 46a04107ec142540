import type { SetIncidentModeRequest, SetIncidentModeResponse } from "@coatcheck/proto";

import { randomBase62 } from "../base/random.js";
import type { SetIncidentCommand, SetIncidentResult } from "../store/incident.js";
import type { Store } from "../store/store.js";
import { INCIDENT_HEARD_WITHIN_MS } from "../watch/incident-board.js";
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
}

/**
 * Tightens the deployment for a time. What was granted before holds until it lapses:
 * the old bound, after the last replica has heard of the new one or, where it hears
 * nothing, has stopped granting. The last call
 * wins as a whole; what it leaves out is as configured.
 */
export async function setIncidentMode(
  environment: IncidentEnvironment,
  request: SetIncidentModeRequest,
  { origin }: CallContext,
): Promise<SetIncidentModeResponse> {
  const { store, maxStalenessMs } = environment;
  enforceRules(incidentRules(maxStalenessMs), request);
  const mode = {
    lastsMs: request.lasts === undefined ? 0 : ceilMillis(request.lasts),
    maxStalenessMs:
      request.maxStaleness === undefined ? undefined : ceilMillis(request.maxStaleness),
    stopCaching: request.stopCaching,
    stopCreating: request.stopCreating,
    eventId: randomBase62(22),
  };
  const set = await setEverywhere(store, { ...mode, audit: origin, reasonAdmin: describe(mode) });
  const ends = set.flatMap(({ endsAtMs }) => (endsAtMs === undefined ? [] : [endsAtMs]));
  const leaseMaxMs = Math.max(...set.map((one) => one.leaseMaxMs));
  return {
    endsAt: ends.length === 0 ? undefined : millisToTimestamp(Math.max(...ends)),
    effectiveWithin: millisToDuration(effectiveWithinMs(leaseMaxMs) + INCIDENT_HEARD_WITHIN_MS),
  };
}

type Setting = Omit<SetIncidentCommand, "partition" | "rank" | "leads">;

async function setEverywhere(
  store: IncidentEnvironment["store"],
  setting: Setting,
): Promise<readonly SetIncidentResult[]> {
  const lead = await setRanked(store, setting, 0);
  if (lead.highest === lead.rank) {
    return lead.set;
  }
  // A later call overtook this one, which is settled by going after it; or the first partition
  // has lost in a failover how far it had counted.
  return (await setRanked(store, { ...setting, audit: undefined }, lead.highest + 1)).set;
}

/** Ranks the call in the first partition, then sets the others by that rank. */
async function setRanked(
  store: IncidentEnvironment["store"],
  setting: Setting,
  rankMin: number,
): Promise<{ set: readonly SetIncidentResult[]; rank: number; highest: number }> {
  const first = await store.setIncident({ ...setting, partition: 0, rank: rankMin, leads: true });
  const { rank } = first;
  const set = await inEveryPartition("set the incident mode", async (partition) => {
    return partition === 0
      ? first
      : await store.setIncident({ ...setting, partition, rank, leads: false, audit: undefined });
  });
  return { set, rank, highest: Math.max(...set.map((one) => one.rank)) };
}

/** What the audit trail says: who reads it wants to know more than that there was a call. */
function describe(mode: Omit<Setting, "audit" | "reasonAdmin">): string {
  if (mode.lastsMs === 0) {
    return "ended";
  }
  const switches = [
    mode.maxStalenessMs === undefined ? "" : `max_staleness ${mode.maxStalenessMs} ms`,
    mode.stopCaching ? "stop_caching" : "",
    mode.stopCreating ? "stop_creating" : "",
  ];
  return `${switches.filter((text) => text !== "").join(", ")} for ${mode.lastsMs / 1000} s`;
}
