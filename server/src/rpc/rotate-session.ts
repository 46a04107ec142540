import type { RotateSessionRequest, RotateSessionResponse } from "@coatcheck/proto";

import { parseToken, tokenDigest } from "../session/token.js";
import { bindSubject } from "./bind-subject.js";
import { fromWireTrigger } from "./convert.js";
import { rotateInPlace } from "./rotate-in-place.js";
import { refuse } from "./rotation.js";
import { enforceRules, invalidField, type RuleTable } from "./rules.js";
import type { SessionEnvironment } from "./session-environment.js";
import type { CallContext } from "./unary.js";

/** Replaces a token. */
export async function rotateSession(
  environment: SessionEnvironment,
  rules: RuleTable<RotateSessionRequest>,
  call: { readonly request: RotateSessionRequest; readonly context: CallContext },
): Promise<RotateSessionResponse> {
  const { request, context } = call;
  enforceRules(rules, request);
  const trigger = fromWireTrigger(request.trigger);
  if (trigger === undefined) {
    throw invalidField("trigger", "a value of its enum");
  }
  const presented = parseToken(request.token);
  if (presented === undefined) {
    return refuse("malformed", undefined);
  }
  const rotation = { request, trigger, presented, presentedDigest: tokenDigest(request.token) };
  return request.bindSubject === ""
    ? await rotateInPlace(environment, rotation, context)
    : await bindSubject(environment, rotation, context);
}
