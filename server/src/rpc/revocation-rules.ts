import type { Revision as WireRevision } from "@coatcheck/proto";

import type { Clock } from "../base/clock.js";
import type { Caller } from "../callers/caller.js";
import { PARTITION_COUNT } from "../session/partition.js";
import type { Revision } from "../session/revision.js";
import { createTenantFilter, type TenantFilter } from "../watch/tenant-filter.js";
import type { WatcherIdentity } from "../watch/watcher-state.js";
import { tenantsToWatch } from "./authorization.js";
import { fromWireRevision } from "./convert.js";
import { identifier, invalidField, enforceRules, itemCount, plain, utf8Bytes } from "./rules.js";
import type { RuleTable } from "./rules.js";
import { RpcError } from "./status.js";

/*
 * What may be asked of the log. A position comes from a client and proves
 * nothing: it may be of another deployment, of a restored backup, or made up.
 * What cannot be true is refused here. What may be true later, a revision ahead
 * of this replica, is not: the replica may be the one that is behind.
 */

/** What both requests of the service have. */
export interface PositionedRequest {
  readonly position: readonly WireRevision[];
  readonly tenantIds: readonly string[];
  readonly deploymentId: string;
  readonly clientName: string;
  readonly instanceId: string;
  readonly sdkVersion: string;
}

/** What such a request comes to. */
export interface Receiver {
  readonly identity: WatcherIdentity;
  readonly filter: TenantFilter;
  readonly position: ReadonlyMap<number, Revision>;
}

/** What positions are compared with, and whose tenants are meant where none is named. */
export interface PositionBounds {
  readonly clock: Clock;
  readonly deploymentId: string;
  /** The heads that this replica knows. */
  readonly heads: readonly Revision[];
  readonly caller: Caller;
}

// A generation is unix microseconds. Clocks that differ by more than this are a fault to be seen.
const GENERATION_AHEAD_MAX_US = 3_600_000_000;
const SAFE_INTEGERS = 2n ** 53n;
const TENANTS_MAX = 64;

/** The rules of WatchRevocations and SyncRevocations that need no context. */
export const RECEIVER_RULES: RuleTable<PositionedRequest> = [
  itemCount("position", (m) => m.position, PARTITION_COUNT),
  plain("position.partition", `below ${PARTITION_COUNT}`, (m) =>
    m.position.every(({ partition }) => partition < PARTITION_COUNT),
  ),
  plain(
    "position.partition",
    "named once",
    (m) => new Set(m.position.map(({ partition }) => partition)).size === m.position.length,
  ),
  plain("position.generation", "below 2^53", (m) =>
    m.position.every(({ generation }) => generation < SAFE_INTEGERS),
  ),
  plain("position.sequence", "below 2^53", (m) =>
    m.position.every(({ sequence }) => sequence < SAFE_INTEGERS),
  ),
  itemCount("tenant_ids", (m) => m.tenantIds, TENANTS_MAX),
  plain("tenant_ids", "tenant ids of 1 to 128 bytes", (m) =>
    m.tenantIds.every((id) => id !== "" && utf8Bytes(id) <= 128),
  ),
  identifier("client_name", (m) => m.clientName, { bytesMax: 128 }),
  identifier("instance_id", (m) => m.instanceId, { bytesMax: 128 }),
  identifier("sdk_version", (m) => m.sdkVersion, { bytesMax: 64 }),
];

/** Reads an untrusted request. Throws INVALID_ARGUMENT for what cannot be true. */
export function parseReceiver(request: PositionedRequest, bounds: PositionBounds): Receiver {
  enforceRules(RECEIVER_RULES, request);
  if (request.position.length > 0 && request.deploymentId !== bounds.deploymentId) {
    throw new RpcError(
      "WRONG_DEPLOYMENT",
      "Cannot resume: the position comes from another deployment",
      { metadata: { field: "deployment_id" } },
    );
  }
  const generationMax = largestGeneration(bounds);
  const position = new Map<number, Revision>();
  for (const revision of request.position.map(fromWireRevision)) {
    if (revision.generation > generationMax) {
      throw invalidField("position.generation", "at most one hour ahead of this replica");
    }
    position.set(revision.partition, revision);
  }
  return {
    identity: {
      clientName: request.clientName,
      instanceId: request.instanceId,
      sdkVersion: request.sdkVersion,
    },
    filter: createTenantFilter(tenantsToWatch(bounds.caller, request.tenantIds)),
    position,
  };
}

function largestGeneration({ clock, heads }: PositionBounds): number {
  const known = heads.map(({ generation }) => generation);
  return Math.max(clock.wallMs() * 1000, ...known) + GENERATION_AHEAD_MAX_US;
}
