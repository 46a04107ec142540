import { randomBytes, randomInt } from "node:crypto";

import type { CreateSessionResponse } from "@coatcheck/proto";
import { CreateSessionRequest, Session } from "@coatcheck/proto";

import { randomBase62 } from "../base/random.js";
import { hashParts, PARTITION_COUNT, subjectPartition } from "../session/partition.js";
import type { SessionPolicy } from "../session/policy.js";
import {
  deriveRecoverySecret,
  deriveSecret,
  formatRecoveryToken,
  formatToken,
  mintSessionId,
  randomSecret,
  tokenDigest,
} from "../session/token.js";
import type { CreateCommand, CreateResult } from "../store/session-store.js";
import { toWireBindingPolicy, toWireRevision } from "./convert.js";
import { checkedOf, encodeFacts, sessionOf, sortedAttributes } from "./session-codec.js";
import {
  DEFAULT_POLICY_NAME,
  policyFor,
  requestIdReused,
  requestRecord,
  requestSuperseded,
  type SessionEnvironment,
  refuseWhileStopped,
} from "./session-environment.js";
import { RpcError } from "./status.js";
import type { CallContext } from "./unary.js";

/*
 * Creation, and why a repeat of it is safe.
 *
 * A caller that got no answer does not know whether it has a session. It repeats
 * the call with the same request id, perhaps at another replica, perhaps while
 * the first attempt is still on its way and arrives later. Every attempt mints
 * its own id and nonce; the store keeps those of the attempt that came first and
 * hands them to all others. The token is then derived from the caller's own
 * retry secret and that nonce, so that all attempts return the same token
 * although nobody stored it. Whoever does not know the retry secret derives
 * another token, its digest is not the stored one, and the call is refused.
 */

/** Tokens of a new session, and what the store is told of them. */
interface Issue {
  readonly token: string;
  readonly recoveryToken: string | undefined;
}

/** Creates a session, or hands a repeat what the first attempt created. */
export async function createSession(
  environment: SessionEnvironment,
  request: CreateSessionRequest,
  context: CallContext,
): Promise<CreateSessionResponse> {
  refuseWhileStopped(environment);
  const policyName = request.policy === "" ? DEFAULT_POLICY_NAME : request.policy;
  const { tenantId, subject } = request;
  const policy = policyFor(environment, { tenantId, name: policyName });
  await environment.rates.admitCreate({ caller: context.callerKey, tenantId, subject });
  const command = buildCommand({ ...request, policy: policyName }, policy);
  const result = refuseUnlessCreated(
    await environment.store.create({
      ...command.command,
      tenantSessionsMax: environment.tenantRules(tenantId)?.maxLiveSessions,
      audit: context.origin,
    }),
  );

  const issue = result.repeated
    ? recall(result, request.retrySecret, policy)
    : { token: command.token, recoveryToken: command.recoveryToken };
  if (issue === undefined) {
    throw requestSuperseded(result.sessionId);
  }
  if (!result.repeated) {
    environment.counters.countCreated();
    environment.counters.countEvents(result.evicted.length);
    environment.counters.countEnded("limit-exceeded", result.evicted.length);
  }
  return {
    session: sessionOf(result.record),
    token: issue.token,
    recoveryToken: issue.recoveryToken ?? "",
    evicted: [...result.evicted],
    revision: toWireRevision(result.revision),
  };
}

/** The creation that happened, now or before; every other result is a failed call. */
export function refuseUnlessCreated(
  result: CreateResult,
): Extract<CreateResult, { kind: "created" }> {
  switch (result.kind) {
    case "created":
      return result;
    case "limit-reached":
      throw new RpcError("SESSION_LIMIT_REACHED", "The subject is at its session limit", {
        metadata: { live_sessions: String(result.liveSessions) },
      });
    case "tenant-full":
      throw new RpcError("TENANT_LIMIT_REACHED", "The tenant is at its cap on live sessions");
    case "superseded":
    // Only a login claims, and looks at this first.
    case "claimed":
      throw requestSuperseded(result.sessionId);
    case "request-id-reused":
      throw requestIdReused();
  }
}

/** What the store compares of the device at every validation. */
export function deviceOf(session: Session): CreateCommand["device"] {
  return {
    id: session.device?.id ?? "",
    ipAddress: session.device?.ipAddress ?? "",
    userAgent: session.device?.userAgent ?? "",
  };
}

function buildCommand(
  request: CreateSessionRequest,
  policy: SessionPolicy,
): Issue & { readonly command: CreateCommand } {
  const sessionId = mintSessionId(partitionFor(request));
  const nonce = randomBytes(32);
  const issue = issueTokens(sessionId, nonce, { retrySecret: request.retrySecret, policy });
  const facts = factsOf(sessionId, request, policy);
  return {
    ...issue,
    command: {
      sessionId,
      tenantId: request.tenantId,
      subject: request.subject,
      clientId: request.clientId,
      device: deviceOf(facts),
      policy,
      checked: checkedOf(facts),
      facts: encodeFacts(facts),
      tokenDigest: tokenDigest(issue.token),
      nonce: nonce.toString("hex"),
      recoveryDigest: digestOf(issue.recoveryToken),
      request: requestRecord({
        method: "CreateSession",
        scope: [request.tenantId],
        requestId: request.requestId,
        effect: [argumentsOf(request)],
      }),
      eventId: randomBase62(22),
    },
  };
}

/** The digest of a token that may not exist. */
export function digestOf(token: string | undefined): string | undefined {
  return token === undefined ? undefined : tokenDigest(token);
}

// An anonymous session has no subject to hash. Its request id stands in, so that a repeat comes
// to the partition where its record is.
function partitionFor(request: CreateSessionRequest): number {
  if (request.subject !== "") {
    return subjectPartition(request.tenantId, request.subject);
  }
  return request.requestId === ""
    ? randomInt(PARTITION_COUNT)
    : (hashParts(request.tenantId, request.requestId)[0] ?? 0) & (PARTITION_COUNT - 1);
}

function issueTokens(
  sessionId: string,
  nonce: Buffer,
  { retrySecret, policy }: { readonly retrySecret: Buffer; readonly policy: SessionPolicy },
): Issue {
  const isDerived = retrySecret.length > 0;
  const source = { key: retrySecret, nonce };
  const secret = isDerived ? deriveSecret(source) : randomSecret();
  if (policy.recoveryWindowMs === 0) {
    return { token: formatToken(sessionId, secret), recoveryToken: undefined };
  }
  const recoverySecret = isDerived ? deriveRecoverySecret(source) : randomSecret();
  return {
    token: formatToken(sessionId, secret),
    recoveryToken: formatRecoveryToken(sessionId, recoverySecret),
  };
}

/** The first attempt's tokens, or undefined where this caller cannot derive them. */
function recall(
  result: Extract<CreateResult, { kind: "created" }>,
  retrySecret: Buffer,
  policy: SessionPolicy,
): Issue | undefined {
  if (retrySecret.length === 0) {
    return undefined;
  }
  const nonce = Buffer.from(result.nonce, "hex");
  const issue = issueTokens(result.sessionId, nonce, { retrySecret, policy });
  return tokenDigest(issue.token) === result.tokenDigest ? issue : undefined;
}

function factsOf(sessionId: string, request: CreateSessionRequest, policy: SessionPolicy): Session {
  return Session.create({
    sessionId,
    tenantId: request.tenantId,
    subject: request.subject,
    authenticatedAt: request.authenticatedAt,
    policy: request.policy,
    clientId: request.clientId,
    origin: request.origin,
    device: request.device,
    bindingPolicy: toWireBindingPolicy(policy.binding),
    aal: request.aal,
    amr: request.amr,
    actor: request.actor,
    attributes: request.attributes,
  });
}

/** Everything that decides the effect. The retry secret does not: it only names the asker. */
function argumentsOf(request: CreateSessionRequest): Buffer {
  const deciding: CreateSessionRequest = {
    ...request,
    attributes: sortedAttributes(request.attributes),
    requestId: "",
    retrySecret: Buffer.alloc(0),
  };
  return Buffer.from(CreateSessionRequest.encode(deciding).finish());
}
