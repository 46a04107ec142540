/** The answer to "may this token be used?". Meanings: `ValidationOutcome` in the contract. */
export type ValidationOutcome =
  | "valid"
  | "malformed"
  | "not-found"
  | "expired-idle"
  | "expired-absolute"
  | "revoked"
  | "rotated"
  | "binding-mismatch"
  | "insufficient-aal"
  | "authentication-too-old";

/** Why a session was revoked. `unspecified`: none was given. */
export type RevocationReason =
  | "unspecified"
  | "user-logout"
  | "admin"
  | "credential-change"
  | "account-disabled"
  | "limit-exceeded"
  | "token-reuse"
  | "security-policy"
  | "client-disconnect"
  | "replaced";

/** Who ended a session, in CAEP's words. */
export type InitiatingEntity = "unspecified" | "admin" | "user" | "policy" | "system";

/** Why a token is rotated. All but `periodic` are fixation defence. */
export type RotationTrigger =
  "periodic" | "login" | "reauthentication" | "privilege-change" | "credential-change";

/** How a session ended. For an expiry, reason and entity are `unspecified`. */
export interface SessionEnd {
  readonly reason: RevocationReason;
  readonly atMs: number;
  readonly initiatingEntity: InitiatingEntity;
  readonly reasonUser: string;
}
