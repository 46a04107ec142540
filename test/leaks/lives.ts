import { randomBytes } from "node:crypto";

import { GetSessionRequest, RevocationReason, RotationTrigger, TouchMode } from "@coatcheck/proto";
import { Metadata, type ServiceError } from "@grpc/grpc-js";

import { tokenDigest } from "#server/session/token.js";

import { type SessionApi } from "../support/session-api.js";
import type { Canaries } from "./canaries.js";

/** What lives of sessions leave behind for the search. */
export interface Traces {
  /** Secrets: nowhere at all. */
  readonly secrets: Canaries;
  /** Digests: in Redis, and nowhere else. */
  readonly digests: Canaries;
  /** What callers were told of failures, and answers that have no token in them. */
  readonly answers: string[];
  readonly hasTokenInMetadata: boolean;
  requests: number;
  failures: number;
}

/** Raw retry secrets are looked for one by one, so only of so many sessions. */
const RAW_SECRETS_MAX = 100;

/**
 * Creates a session and does to it whatever can be done, right and wrong: about
 * 20 requests. Wrong requests carry the token where it does not belong, as a
 * caller that mixes up its fields would.
 */
export async function liveOnce(api: SessionApi, traces: Traces, index: number): Promise<void> {
  const retrySecret = randomBytes(32);
  if (index < RAW_SECRETS_MAX) traces.secrets.addBytes("a retry secret", retrySecret);
  const life = new Life(api, traces);
  const created = await life.issue(() =>
    api.create({
      subject: `subject-${index % 500}`,
      device: { id: "d", name: "phone", ipAddress: "203.0.113.7", userAgent: "curl/8" },
      attributes: new Map([["locale", "en"]]),
      requestId: `create-${index}`,
      retrySecret,
    }),
  );
  const token = created?.token ?? "";
  const sessionId = created?.session?.sessionId ?? "";

  await life.ask(() => api.validate(token));
  await life.ask(() => api.validate(token, { touch: TouchMode.PEEK, audienceClientIds: ["web"] }));
  await life.ask(() => api.validate(mutate(token)));
  await life.ask(() => api.validate(`${token} `));
  await life.ask(() => api.batch([{ token }, { token: mutate(token) }, { token: `${token}x` }]));
  await life.ask(() => api.touch([use(sessionId, token)]));
  await life.ask(() => api.get(sessionId));
  await life.ask(() => api.list({ subject: `subject-${index % 500}` }));
  await life.ask(() => api.update({ sessionId, set: new Map([["locale", "de"]]) }));
  await life.misuse(token);

  const next = await life.issue(() =>
    api.rotate({ token, trigger: RotationTrigger.PERIODIC, requestId: `rotate-${index}` }),
  );
  const last = await life.issue(() =>
    api.rotate({ token: next?.token ?? "", trigger: RotationTrigger.PRIVILEGE_CHANGE }),
  );
  await life.ask(() => api.validate(token));
  await life.ask(() =>
    api.revoke({
      target: { $case: "token", value: last?.token ?? "" },
      reason: RevocationReason.USER_LOGOUT,
    }),
  );
}

class Life {
  readonly #api: SessionApi;
  readonly #traces: Traces;

  constructor(api: SessionApi, traces: Traces) {
    this.#api = api;
    this.#traces = traces;
  }

  /** A call whose answer has tokens, which become canaries. */
  async issue<Answer extends { readonly token: string; readonly recoveryToken: string }>(
    call: () => Promise<Answer>,
  ): Promise<Answer | undefined> {
    const answer = await this.#count(call);
    for (const token of [answer?.token ?? "", answer?.recoveryToken ?? ""]) {
      if (token === "") continue;
      this.#traces.secrets.addToken(token);
      this.#traces.digests.addText("a digest", tokenDigest(token));
    }
    return answer;
  }

  /** A call whose answer has no token. */
  async ask(call: () => Promise<unknown>): Promise<void> {
    const answer = await this.#count(call);
    if (answer !== undefined) this.#traces.answers.push(printed(answer));
  }

  /** The token in every field where it does not belong, and in metadata. */
  async misuse(token: string): Promise<void> {
    const api = this.#api;
    await this.ask(() => api.get(token));
    await this.ask(() => api.update({ sessionId: token, set: new Map([[token, token]]) }));
    await this.ask(() => api.list({ pageToken: token }));
    await this.ask(() => api.touch([{ ...use(token, token), tokenSha256: Buffer.from(token) }]));
    await this.ask(() => api.rotate({ token, bindSubject: `${token}\n` }));
    await this.ask(() => api.create({ policy: token, requestId: `${token}${token}` }));
    await this.ask(() => api.revoke({ target: { $case: "sessionId", value: token } }));
    await this.ask(() => api.sync({ deploymentId: token, clientName: "test" }));
    if (this.#traces.hasTokenInMetadata) await this.ask(() => invokeWith(api, token));
  }

  async #count<Answer>(call: () => Promise<Answer>): Promise<Answer | undefined> {
    const { answers } = this.#traces;
    this.#traces.requests += 1;
    try {
      return await call();
    } catch (error) {
      this.#traces.failures += 1;
      answers.push(told(error as ServiceError));
      return undefined;
    }
  }
}

async function invokeWith(api: SessionApi, token: string): Promise<unknown> {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  metadata.set("x-session", token);
  return await new Promise((resolve, reject) => {
    api.client.getSession(
      GetSessionRequest.create({ sessionId: "nonsense" }),
      metadata,
      (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      },
    );
  });
}

function use(sessionId: string, token: string): Parameters<SessionApi["touch"]>[0][number] {
  return {
    sessionId,
    tokenSha256: Buffer.from(tokenDigest(token), "hex"),
    idleFor: { seconds: 1n, nanos: 0 },
  };
}

/** Everything of a failure that came over the wire. */
function told(error: ServiceError): string {
  const details = error.metadata
    .get("grpc-status-details-bin")
    .map((each) => Buffer.from(each).toString("latin1"));
  return [error.details, JSON.stringify(error.metadata.getMap()), ...details].join("\n");
}

/** A message as text. */
export function printed(answer: unknown): string {
  return JSON.stringify(answer, (_key, value: unknown) =>
    value instanceof Map ? [...value] : typeof value === "bigint" ? String(value) : value,
  );
}

/** A token of which nobody has heard, with a checksum that does not fit. */
function mutate(token: string): string {
  return `${token.slice(0, 40)}${token[40] === "x" ? "y" : "x"}${token.slice(41)}`;
}
