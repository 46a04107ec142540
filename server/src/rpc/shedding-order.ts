/*
 * Who has to wait first when there is more work than the replica can do: the one
 * table. What a user only looks at goes first, what ends a session goes last and
 * only where nothing fits any more.
 *
 * Two rows need a reason. A Sync is shed after the validations, because it renews
 * the lease of an SDK: without it every validation of that SDK would come here,
 * and overload would make more of itself. But not last, because anybody who may
 * validate may send as many as he likes, and a revocation has to get through. A rotation waits with the validations:
 * a login that is refused leaves a fixed token alive no longer than one that was
 * never sent.
 */

/** What is shed, first to last. */
export const SHEDDING_CLASSES = ["list", "create", "touch", "validate", "sync", "revoke"] as const;

/** One of `SHEDDING_CLASSES`. */
export type SheddingClass = (typeof SHEDDING_CLASSES)[number];

/** The class of every unary method. A test compares with the descriptors. */
export const SHEDDING_CLASS_OF: Readonly<Record<string, SheddingClass>> = {
  "/coatcheck.v1.SessionService/ListSessions": "list",
  "/coatcheck.v1.SessionService/GetSession": "list",
  "/coatcheck.v1.AdminService/ListAuditEvents": "list",
  "/coatcheck.v1.AdminService/ListWatchers": "list",
  "/coatcheck.v1.SessionService/CreateSession": "create",
  "/coatcheck.v1.SessionService/RecoverSession": "create",
  "/coatcheck.v1.SessionService/UpdateSession": "create",
  "/coatcheck.v1.SessionService/TouchSessions": "touch",
  "/coatcheck.v1.SessionService/ValidateSession": "validate",
  "/coatcheck.v1.SessionService/BatchValidateSessions": "validate",
  "/coatcheck.v1.SessionService/RotateSession": "validate",
  "/coatcheck.v1.SessionService/RevokeSession": "revoke",
  "/coatcheck.v1.SessionService/RevokeSubjectSessions": "revoke",
  "/coatcheck.v1.SessionService/RevokeTenantSessions": "revoke",
  "/coatcheck.v1.RevocationService/SyncRevocations": "sync",
  "/coatcheck.v1.AdminService/RevokeAllSessions": "revoke",
  "/coatcheck.v1.AdminService/SetIncidentMode": "revoke",
  "/coatcheck.v1.AdminService/GetStats": "sync",
};

/**
 * The share of the load that the replica can take from which a class is shed, and
 * below which it is served again. The two differ, so that a load right at a
 * threshold does not switch it with every call. Revoking is refused only where
 * nothing fits, and not one call longer.
 */
export const SHEDDING_SHARES: readonly { readonly from: number; readonly until: number }[] = [
  { from: 0.5, until: 0.4 },
  { from: 0.6, until: 0.48 },
  { from: 0.7, until: 0.56 },
  { from: 0.85, until: 0.7 },
  { from: 0.95, until: 0.85 },
  { from: 1, until: 1 },
];

/**
 * How many times `calls_per_caller_max` one caller may have in flight, counting all
 * its calls, where the next is of a class. So a caller that floods with one kind of
 * call still has room for its Syncs, and for its revocations above that; and with
 * the defaults no caller alone brings the load to where others' validations are shed.
 */
export const CALLER_SHARES: Readonly<Record<SheddingClass, number>> = {
  list: 1,
  create: 1,
  touch: 1,
  validate: 1,
  sync: 2,
  revoke: 3,
};
