import {
  type BatchValidateSessionsRequest,
  BatchValidateSessionsResponse,
  type RecoverSessionResponse,
  type RevokeTenantSessionsResponse,
  type SessionServiceServer,
  SessionServiceService,
  type ValidateSessionRequest,
  ValidateSessionResponse,
} from "@coatcheck/proto";
import type { handleUnaryCall } from "@grpc/grpc-js";

import { batchValidateSessions } from "./batch-validate.js";
import { createSession } from "./create-session.js";
import { getSession, listSessions } from "./read-sessions.js";
import { revokeSession } from "./revoke-session.js";
import { revokeSubjectSessions } from "./revoke-subject.js";
import { rotateSession } from "./rotate-session.js";
import { enforceRules } from "./rules.js";
import type { SessionEnvironment } from "./session-environment.js";
import { RpcError } from "./status.js";
import { touchSessions } from "./touch-sessions.js";
import { explain, unary, type UnaryEnvironment } from "./unary.js";
import { updateSession } from "./update-session.js";
import { validateSession } from "./validate-session.js";
import { timedRules } from "./validate.js";

type HotMethod = "validateSession" | "batchValidateSessions";

/** The contract's methods, with the two hot ones answering in bytes. */
export type SessionHandlers = Pick<
  SessionServiceServer,
  Exclude<keyof SessionServiceService, HotMethod>
> & {
  readonly validateSession: handleUnaryCall<
    ValidateSessionRequest,
    ValidateSessionResponse | Buffer
  >;
  readonly batchValidateSessions: handleUnaryCall<
    BatchValidateSessionsRequest,
    BatchValidateSessionsResponse | Buffer
  >;
};

/** The service definition: as generated, but a response that is bytes already passes through. */
export const sessionServiceDefinition = {
  ...SessionServiceService,
  validateSession: {
    ...SessionServiceService.validateSession,
    responseSerialize: (value: ValidateSessionResponse | Buffer): Buffer =>
      Buffer.isBuffer(value) ? value : Buffer.from(ValidateSessionResponse.encode(value).finish()),
  },
  batchValidateSessions: {
    ...SessionServiceService.batchValidateSessions,
    responseSerialize: (value: BatchValidateSessionsResponse | Buffer): Buffer =>
      Buffer.isBuffer(value)
        ? value
        : Buffer.from(BatchValidateSessionsResponse.encode(value).finish()),
  },
};

/** The handlers of `SessionService`. Each is a row: what is done is in the file it names. */
export function createSessionService(
  environment: SessionEnvironment,
  calls: UnaryEnvironment,
): SessionHandlers {
  const rules = timedRules(() => calls.clock.wallMs());
  const batchPath = SessionServiceService.batchValidateSessions.path;
  return {
    createSession: unary(calls, async (request, context) => {
      enforceRules(rules.create, request);
      return await createSession(environment, request, context);
    }),
    validateSession: unary(calls, (request, context) =>
      validateSession(environment, request, context),
    ),
    batchValidateSessions: unary(calls, (request, { caller, callerKey, origin }) =>
      batchValidateSessions(environment, request, {
        caller,
        callerKey,
        origin,
        explain: (error) => explain(error, batchPath, calls.log),
        onRefused: (item, told) => calls.denied?.noteItem(origin, item, told),
      }),
    ),
    touchSessions: unary(calls, (request, { caller }) =>
      touchSessions(environment, request, caller),
    ),
    getSession: unary(calls, (request, { caller }) => getSession(environment, request, caller)),
    listSessions: unary(calls, (request) => listSessions(environment, request)),
    updateSession: unary(calls, (request, context) => updateSession(environment, request, context)),
    rotateSession: unary(calls, (request, context) =>
      rotateSession(environment, rules.rotate, { request, context }),
    ),
    revokeSession: unary(calls, (request, context) => revokeSession(environment, request, context)),
    revokeSubjectSessions: unary(calls, (request, context) =>
      revokeSubjectSessions(environment, request, context),
    ),
    revokeTenantSessions: unary(calls, notImplemented<RevokeTenantSessionsResponse>),
    recoverSession: unary(calls, notImplemented<RecoverSessionResponse>),
  };
}

/** The work of a method that is in the contract and not in this server. */
export function notImplemented<Response>(): Promise<Response> {
  return Promise.reject(
    new RpcError("NOT_IMPLEMENTED", "The method is in the contract and not in this server"),
  );
}
