import type { Revision } from "./base/revision.js";
import type {
  Device,
  InitiatingEntity,
  Propagation,
  RevocationReason,
  RotationTrigger,
  Session,
  SessionEnd,
  ValidationOutcome,
} from "./base/session.js";
import type { Token, TokenLike } from "./base/token.js";

/** What every call takes. */
export interface RequestOptions {
  /**
   * Idempotency key, at most 64 printable ASCII characters. A repeat with the
   * same key and arguments within ten minutes changes nothing.
   *
   * @default a new one for each call, kept over this library's own retries
   */
  readonly requestId?: string;
  /**
   * How long the call may take, in ms.
   *
   * @default the client's `deadlineMs`, and for `everywhere` twice the staleness bound more
   */
  readonly deadlineMs?: number;
  /** Ends the call. Whether it was applied is then unknown. */
  readonly signal?: AbortSignal;
}

/** What the issuer says of how the subject proved who they are. */
export interface AuthenticationFacts {
  /** Authenticator assurance level, 0 (not stated) to 3. */
  readonly aal?: number;
  /** Authentication methods, as in RFC 8176. */
  readonly amr?: readonly string[];
  /** When the subject proved who they are, in ms since the Unix epoch. */
  readonly authenticatedAtMs?: number;
}

/** A session to create. */
export interface CreateOptions extends RequestOptions, AuthenticationFacts {
  /** Whom it is for. Absent or empty creates an anonymous session. */
  readonly subject?: string;
  /** Name of a configured policy. @default "default" */
  readonly policy?: string;
  /** The application that asks. */
  readonly clientId?: string;
  readonly device?: Partial<Device>;
  /** The service and instance that create it. @default the client's name and instance */
  readonly origin?: string;
  /** Small facts of the application, at most 8 KiB in total. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Who acts for the subject. */
  readonly actor?: string;
}

/** A session that was created. */
export interface CreatedSession {
  readonly session: Session;
  /** Shown here and never again. */
  readonly token: Token;
  /** Undefined where the policy does not allow recovery. */
  readonly recoveryToken: Token | undefined;
  /** The sessions that had to go to keep the subject within its limit. */
  readonly evicted: readonly string[];
  /** Pass it as `minRevision` to be answered at least this new. */
  readonly revision: Revision | undefined;
}

/** A page of sessions to list. */
export interface ListOptions {
  /** At most 500. @default 50 */
  readonly pageSize?: number;
  /** The `nextPageToken` of the page before. */
  readonly pageToken?: string;
  readonly signal?: AbortSignal;
}

/** A page of live sessions, oldest first. */
export interface SessionPage {
  readonly sessions: readonly Session[];
  /** Undefined on the last page. */
  readonly nextPageToken: string | undefined;
}

/** What to change of a session's attributes. */
export interface UpdateOptions extends RequestOptions {
  readonly set?: Readonly<Record<string, string>>;
  readonly remove?: readonly string[];
  /** The session must be at this version; otherwise `version-conflict`. */
  readonly expectedVersion?: number;
  /** Whether every cache must forget what it holds of the session. @default false */
  readonly invalidateCaches?: boolean;
}

/** The session after an update. */
export interface UpdatedSession {
  readonly session: Session;
  readonly revision: Revision | undefined;
}

/** Why and how to replace a token. */
export interface RotateOptions extends RequestOptions, AuthenticationFacts {
  readonly trigger: RotationTrigger;
  /** Binds an anonymous session to this subject: a new session with a new id. */
  readonly bindSubject?: string;
}

/** The successor of a token, or why there is none. */
export type Rotation =
  | {
      readonly kind: "rotated";
      readonly session: Session;
      readonly token: Token;
      readonly recoveryToken: Token | undefined;
      /** How long the presented token stays valid, in ms. 0 for all but `periodic`. */
      readonly previousValidForMs: number;
      readonly revision: Revision | undefined;
    }
  | {
      readonly kind: "invalid";
      readonly outcome: Exclude<ValidationOutcome, "valid">;
      readonly ended?: SessionEnd;
    };

/** Why sessions are ended, and how far that must reach before the call returns. */
export interface RevokeOptions extends RequestOptions {
  readonly reason?: RevocationReason;
  readonly initiatingEntity?: InitiatingEntity;
  /** For the record, at most 512 bytes. Never shown to the user. */
  readonly reasonAdmin?: string;
  /** For the user, at most 512 bytes. */
  readonly reasonUser?: string;
  /** @default "committed" */
  readonly propagation?: Propagation;
}

/** Which session to end: by its id, or by any token of it. */
export type RevokeTarget = { readonly sessionId: string } | { readonly token: TokenLike };

/** What became of a revocation. */
export interface Revocation {
  /** Whether there is such a session. */
  readonly found: boolean;
  readonly alreadyRevoked: boolean;
  readonly revision: Revision | undefined;
  /** Never more than was confirmed. */
  readonly achieved: Propagation;
  /** After this long no cache can accept the session, in ms. */
  readonly effectiveWithinMs: number;
}

/** Which of a subject's sessions to end: all, all but one, or those of one device. */
export interface RevokeSubjectOptions extends RevokeOptions {
  readonly exceptSessionId?: string;
  readonly deviceId?: string;
}

/** What became of the revocation of a subject's sessions. */
export interface SubjectRevocation {
  readonly revokedCountEstimate: number;
  readonly revision: Revision | undefined;
  readonly achieved: Propagation;
  readonly effectiveWithinMs: number;
}
