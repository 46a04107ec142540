import type { Status as RpcStatus, ValidateSessionRequest } from "@coatcheck/proto";

import { type ParsedToken, parseToken, tokenDigest } from "../session/token.js";
import type { ValidateCommand, ValidateReply } from "../store/session-store.js";
import { floorMillis, fromWireRevision } from "./convert.js";
import { enforceRules, invalidField } from "./rules.js";
import type { SessionEnvironment } from "./session-environment.js";
import type { CallContext } from "./unary.js";
import { encodeMalformedReply, encodeValidateReply } from "./validate-reply.js";
import { VALIDATE_RULES } from "./validate.js";
import { TouchMode } from "@coatcheck/proto";

/** What becomes of one item of a batch: an encoded response, or what went wrong with it. */
export type ItemResult =
  | { readonly kind: "response"; readonly bytes: Buffer }
  | { readonly kind: "status"; readonly status: RpcStatus };

/** Answers one token with an encoded `ValidateSessionResponse`. */
export async function validateSession(
  environment: SessionEnvironment,
  request: ValidateSessionRequest,
  context: Pick<CallContext, "callerKey" | "origin">,
): Promise<Buffer> {
  const command = readValidate(request);
  if (command === undefined) {
    return answerMalformed(environment);
  }
  const reply = await environment.store.validate(command);
  if (reply.outcome === "not-found") {
    await environment.rates.countMiss({ caller: context.callerKey, sessionId: command.sessionId });
  }
  if (reply.outcome === "binding-mismatch") environment.onMismatch?.(context.origin, command);
  return answer(environment, command, reply);
}

/**
 * The store's command for a request, or undefined where the token is none: it is
 * told apart by shape and checksum alone, before any I/O (S-03).
 */
export function readValidate(request: ValidateSessionRequest): ValidateCommand | undefined {
  enforceRules(VALIDATE_RULES, request);
  const parsed = parseToken(request.token);
  return parsed === undefined ? undefined : toCommand(request, parsed);
}

/** The encoded response for what the store said. */
export function answer(
  environment: SessionEnvironment,
  command: ValidateCommand,
  reply: ValidateReply,
): Buffer {
  environment.counters.countOutcome(reply.outcome);
  return encodeValidateReply(reply, {
    maxStalenessMs: environment.incidents.maxStalenessMs,
    cacheable:
      environment.incidents.allowsCaching &&
      command.audienceClientIds.length === 0 &&
      command.binding === undefined &&
      command.requirements === undefined,
  });
}

/** The encoded response to a token that is none. */
export function answerMalformed(environment: SessionEnvironment): Buffer {
  environment.counters.countOutcome("malformed");
  return encodeMalformedReply(environment.incidents.maxStalenessMs);
}

function toCommand(request: ValidateSessionRequest, token: ParsedToken): ValidateCommand {
  const { binding, requirements, minRevision } = request;
  if (minRevision !== undefined && minRevision.partition !== token.partition) {
    // Revisions of two partitions order nothing, so the promise asked for has no meaning.
    throw invalidField("min_revision.partition", "the partition of the token's session id");
  }
  return {
    sessionId: token.sessionId,
    tokenDigest: tokenDigest(request.token),
    tenantId: request.tenantId,
    touch: request.touch !== TouchMode.PEEK,
    audienceClientIds: request.audienceClientIds,
    binding,
    requirements:
      requirements === undefined
        ? undefined
        : {
            minAal: requirements.minAal,
            maxAuthAgeMs:
              requirements.maxAuthAge === undefined
                ? undefined
                : floorMillis(requirements.maxAuthAge),
            requiredAmr: requirements.requiredAmr,
          },
    minRevision: minRevision === undefined ? undefined : fromWireRevision(minRevision),
  };
}
