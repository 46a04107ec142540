import type { Revision } from "./revision.js";

/** The authority's answer to "may this token be used?". Meanings: the contract. */
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

/** Why a token is rotated. All but `periodic` kill every older token of the session at once. */
export type RotationTrigger =
  "periodic" | "login" | "reauthentication" | "privilege-change" | "credential-change";

/** How far a revocation has reached. */
export type Propagation = "committed" | "replicated" | "everywhere";

/** What a difference between a presented binding and the device means. */
export type BindingMode = "off" | "warn" | "enforce";

/** A field of the binding. */
export type BindingField = "ip_address" | "user_agent" | "device_id";

/** How a session ended. For an expiry, reason and entity are `unspecified`. */
export interface SessionEnd {
  readonly reason: RevocationReason;
  /** By the store's clock, in ms since the Unix epoch; undefined where it was not told. */
  readonly atMs: number | undefined;
  readonly initiatingEntity: InitiatingEntity;
  /** The revoker's sentence for the user. Empty where there is none. */
  readonly reasonUser: string;
}

/** The device a session lives on, as its issuer described it. */
export interface Device {
  readonly id: string;
  readonly name: string;
  readonly ipAddress: string;
  readonly userAgent: string;
}

/** What a validation that brings a binding compares. */
export interface BindingPolicy {
  readonly ipAddress: BindingMode;
  readonly userAgent: BindingMode;
  readonly deviceId: BindingMode;
}

/** A session as the authority describes it. Instants are ms since the Unix epoch, store's clock. */
export interface Session {
  /** Public handle: safe to log, useless as a credential, never reused. */
  readonly sessionId: string;
  readonly tenantId: string;
  /** Empty for an anonymous session. */
  readonly subject: string;
  readonly state: "active" | "revoked" | "expired";
  readonly createdAtMs: number;
  /** Undefined where the issuer did not say. */
  readonly authenticatedAtMs: number | undefined;
  readonly lastSeenAtMs: number;
  /** Undefined where the policy has no idle timeout. */
  readonly idleExpiresAtMs: number | undefined;
  readonly absoluteExpiresAtMs: number;
  readonly updatedAtMs: number;
  readonly version: number;
  readonly policy: string;
  readonly clientId: string;
  readonly origin: string;
  readonly device: Device;
  readonly bindingPolicy: BindingPolicy;
  readonly aal: number;
  readonly amr: readonly string[];
  readonly actor: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly replacesSessionId: string;
  /** Undefined while the session is active. */
  readonly ended: SessionEnd | undefined;
}

/** What the authority answered for one token. */
export interface ValidationReply {
  readonly outcome: ValidationOutcome;
  /** Only where `outcome` is `valid`. */
  readonly session: Session | undefined;
  /** The head of the log the answer was computed at. */
  readonly asOf: Revision | undefined;
  /** What a cutoff is compared with. */
  readonly issued: Revision | undefined;
  /** How long the answer stays true if nothing happens, in ms. */
  readonly validForMs: number;
  /** The token is a previous one in its grace period. */
  readonly superseded: boolean;
  /** Age of the authentication when the answer was computed; undefined where not known. */
  readonly authenticationAgeMs: number | undefined;
  readonly cacheable: boolean;
  /** The staleness bound L of the deployment, in ms. */
  readonly maxStalenessMs: number;
  readonly ended: SessionEnd | undefined;
}
