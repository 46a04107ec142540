import {
  type ListAuditEventsRequest,
  Propagation,
  type RevokeAllSessionsRequest,
  RevocationReason,
  type SetIncidentModeRequest,
} from "@coatcheck/proto";

import { ceilMillis } from "./convert.js";
import {
  duration,
  freeText,
  identifier,
  inRange,
  knownEnum,
  plain,
  requestId,
  type RuleTable,
  sessionId,
} from "./rules.js";

/** What RevokeAllSessions has to be told: nobody types it by accident. */
export const CONFIRM_REVOKE_ALL = "revoke all sessions";

/** Audit events on one page. */
export const AUDIT_PAGE_MAX = 500;

/** The longest incident, in ms: 7 days. One that is needed longer is a configuration. */
export const INCIDENT_MS_MAX = 7 * 24 * 3_600_000;

/** The least staleness bound of an incident, in ms. Below it Syncs cost more than hits save. */
export const INCIDENT_STALENESS_MS_MIN = 500;

// The last second of the year 9999, as the contract of Timestamp has it.
const SECONDS_MAX = 253_402_300_799n;

/** ListAuditEvents. The page token is read by its own parser. */
export const LIST_AUDIT_RULES: RuleTable<ListAuditEventsRequest> = [
  identifier("tenant_id", (m) => m.tenantId, { bytesMax: 128 }),
  identifier("subject", (m) => m.subject, { bytesMax: 256 }),
  ifGiven(
    (m) => m.sessionId,
    sessionId("session_id", (m) => m.sessionId),
  ),
  plain(
    "since",
    "absent, or an instant from 1970 to 9999",
    ({ since }) =>
      since === undefined ||
      (since.seconds >= 0n &&
        since.seconds <= SECONDS_MAX &&
        since.nanos >= 0 &&
        since.nanos <= 999_999_999),
  ),
  inRange("page_size", (m) => m.pageSize, { min: 0, max: AUDIT_PAGE_MAX }),
];

/** RevokeAllSessions. */
export const REVOKE_ALL_RULES: RuleTable<RevokeAllSessionsRequest> = [
  plain("confirm", `"${CONFIRM_REVOKE_ALL}"`, ({ confirm }) => confirm === CONFIRM_REVOKE_ALL),
  knownEnum("reason", (m) => m.reason, RevocationReason),
  freeText("reason_admin", (m) => m.reasonAdmin, { bytesMax: 512 }),
  freeText("reason_user", (m) => m.reasonUser, { bytesMax: 512 }),
  knownEnum("propagation", (m) => m.propagation, Propagation),
  requestId((m) => m.requestId),
];

/** SetIncidentMode, where the deployment's own bound is `maxStalenessMs`. */
export function incidentRules(maxStalenessMs: number): RuleTable<SetIncidentModeRequest> {
  return [
    duration("lasts", (m) => m.lasts),
    plain("lasts", "given, and at most 7 days", (m) => {
      return m.lasts !== undefined && ceilMillis(m.lasts) <= INCIDENT_MS_MAX;
    }),
    duration("max_staleness", (m) => m.maxStaleness),
    plain(
      "max_staleness",
      `absent, or ${INCIDENT_STALENESS_MS_MIN} to ${maxStalenessMs} ms`,
      ({ maxStaleness }) => {
        const millis = maxStaleness === undefined ? maxStalenessMs : ceilMillis(maxStaleness);
        return (
          millis <= maxStalenessMs && millis >= Math.min(INCIDENT_STALENESS_MS_MIN, maxStalenessMs)
        );
      },
    ),
    plain("lasts", "zero where nothing is tightened", (m) => {
      const isTightening = m.maxStaleness !== undefined || m.stopCaching || m.stopCreating;
      return isTightening || m.lasts === undefined || ceilMillis(m.lasts) === 0;
    }),
  ];
}

function ifGiven<Message>(
  read: (message: Message) => string,
  rule: RuleTable<Message>[number],
): RuleTable<Message>[number] {
  return { ...rule, holds: (message) => read(message) === "" || rule.holds(message) };
}
