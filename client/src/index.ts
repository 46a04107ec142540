// For applications
export { SessionAuthorityError, type FailureReason } from "./base/errors.js";
export { Token, type TokenLike } from "./base/token.js";
export type { Follow } from "./follow.js";
export type { Freshness } from "./freshness/freshness.js";
export type { Logger } from "./freshness/surroundings.js";
export type {
  AuthenticationFacts,
  CreatedSession,
  CreateOptions,
  ListOptions,
  RequestOptions,
  Revocation,
  RevokeOptions,
  RevokeSubjectOptions,
  RevokeTarget,
  RotateOptions,
  Rotation,
  SessionPage,
  SubjectRevocation,
  UpdatedSession,
  UpdateOptions,
} from "./mutation-options.js";
export type { SessionClientOptions } from "./options.js";
export { createSessionClient, type SessionClient } from "./session-client.js";
export type { ClientStatus, PartitionStatus, StatusCounters } from "./status.js";
export type { ClientCredentials, ServiceKey, TlsCredentials } from "./transport/channel.js";
export type {
  Conditions,
  PresentedBinding,
  Requirements,
  ValidateOptions,
  Validation,
} from "./validation.js";

// For libraries
export { systemClock, type Clock, type Timer } from "./base/clock.js";
export type { EventTarget, RevocationEvent } from "./base/event.js";
export type { Randomness } from "./base/random.js";
export type { Revision } from "./base/revision.js";
export type {
  BindingField,
  BindingMode,
  BindingPolicy,
  Device,
  InitiatingEntity,
  Propagation,
  RevocationReason,
  RotationTrigger,
  Session,
  SessionEnd,
  ValidationOutcome,
  ValidationReply,
} from "./base/session.js";
export { sessionIdOf, tokenDigest } from "./base/token.js";
export type { Transport } from "./transport/transport.js";
