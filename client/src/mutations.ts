import { toSessionAuthorityError } from "./base/errors.js";
import type { Session, SessionEnd } from "./base/session.js";
import { revealToken, sessionIdOf, Token, type TokenLike } from "./base/token.js";
import type { Changes } from "./cache/log-follower.js";
import type { OwnMutation } from "./cache/own-mutations.js";
import type { ValidationCache } from "./cache/validation-cache.js";
import type { RevocationWatch } from "./freshness/revocation-watch.js";
import type {
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
import type { ResolvedOptions } from "./options.js";
import { afterCreate, afterRevoke, afterRevokeSubject, afterRotate } from "./own-effects.js";
import type { CallOptions, RevocationWords, RevokeCall, Transport } from "./transport/transport.js";

/** What the mutations are made of. */
export interface MutationParts {
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly cache: ValidationCache;
  readonly watch: RevocationWatch;
  readonly onChanges: (changes: Changes) => void;
}

/**
 * The calls that change sessions, and the two that read them. Whatever a call
 * changed is known to the cache before its promise settles: whoever awaited a
 * revocation is not shown the session again, stream or no stream.
 */
export class Mutations {
  readonly #parts: MutationParts;

  constructor(parts: MutationParts) {
    this.#parts = parts;
  }

  async create(options: CreateOptions): Promise<CreatedSession> {
    const { tenantId, clientName, instanceId, randomness } = this.#parts.options;
    const reply = await this.#parts.transport.create(
      {
        tenantId,
        subject: options.subject ?? "",
        policy: options.policy ?? "",
        clientId: options.clientId ?? "",
        device: options.device ?? {},
        origin: options.origin ?? `${clientName}/${instanceId}`.slice(0, 128),
        aal: options.aal ?? 0,
        amr: options.amr ?? [],
        authenticatedAtMs: options.authenticatedAtMs,
        attributes: new Map(Object.entries(options.attributes ?? {})),
        actor: options.actor ?? "",
        requestId: this.#requestId(options),
        retrySecret: randomness.secret(),
      },
      this.#callOptions(options),
    );
    this.#apply(afterCreate(reply));
    return {
      session: reply.session,
      token: new Token(reply.token),
      recoveryToken: optionalToken(reply.recoveryToken),
      evicted: reply.evicted,
      revision: reply.revision,
    };
  }

  async get(sessionId: string, options: Pick<RequestOptions, "signal">): Promise<Session> {
    return await this.#parts.transport.get(sessionId, this.#callOptions(options));
  }

  async list(subject: string, options: ListOptions): Promise<SessionPage> {
    const { sessions, nextPageToken } = await this.#parts.transport.list(
      {
        tenantId: this.#parts.options.tenantId,
        subject,
        pageSize: options.pageSize ?? 0,
        pageToken: options.pageToken ?? "",
      },
      this.#callOptions(options),
    );
    return { sessions, nextPageToken: nextPageToken === "" ? undefined : nextPageToken };
  }

  async update(sessionId: string, options: UpdateOptions): Promise<UpdatedSession> {
    const call = this.#parts.transport.update(
      {
        sessionId,
        set: new Map(Object.entries(options.set ?? {})),
        remove: options.remove ?? [],
        expectedVersion: options.expectedVersion,
        invalidateCaches: options.invalidateCaches ?? false,
        requestId: this.#requestId(options),
      },
      this.#callOptions(options),
    );
    const reply = await this.#orUncertain(call, { kind: "uncertain", sessionId });
    const { session, revision } = reply;
    this.#apply([
      revision === undefined
        ? { kind: "uncertain", sessionId }
        : { kind: "changed", sessionId, revision },
    ]);
    return { session, revision };
  }

  async rotate(token: TokenLike, options: RotateOptions): Promise<Rotation> {
    const text = revealToken(token);
    const sessionId = sessionIdOf(text);
    if (sessionId === undefined) return { kind: "invalid", outcome: "malformed" };
    const call = this.#parts.transport.rotate(
      {
        token: text,
        trigger: options.trigger,
        bindSubject: options.bindSubject ?? "",
        aal: options.aal ?? 0,
        amr: options.amr ?? [],
        authenticatedAtMs: options.authenticatedAtMs,
        requestId: this.#requestId(options),
      },
      this.#callOptions(options),
    );
    const reply = await this.#orUncertain(call, { kind: "uncertain", sessionId });
    this.#apply(afterRotate(sessionId, reply));
    const { outcome, session, ended } = reply;
    if (outcome !== "valid") {
      return { kind: "invalid", outcome, ...(ended === undefined ? {} : { ended }) };
    }
    if (session === undefined) return { kind: "invalid", outcome: "not-found" };
    return {
      kind: "rotated",
      session,
      token: new Token(reply.token),
      recoveryToken: optionalToken(reply.recoveryToken),
      previousValidForMs: reply.previousValidForMs,
      revision: reply.revision,
    };
  }

  async revoke(target: RevokeTarget, options: RevokeOptions): Promise<Revocation> {
    const named = nameTarget(target);
    if (named === undefined) return NOTHING_FOUND;
    const words = this.#words(options);
    const call = this.#parts.transport.revoke(
      { target: named.target, ...words },
      this.#callOptions(options),
    );
    const reply = await this.#orUncertain(call, { kind: "uncertain", sessionId: named.sessionId });
    this.#apply(afterRevoke(named.sessionId, reply, endOf(words)));
    return reply;
  }

  async revokeSubject(subject: string, options: RevokeSubjectOptions): Promise<SubjectRevocation> {
    const { tenantId } = this.#parts.options;
    const call = {
      tenantId,
      subject,
      scope: scopeOf(options),
      ...this.#words(options),
    };
    const reply = await this.#orUncertain(
      this.#parts.transport.revokeSubject(call, this.#callOptions(options)),
      { kind: "subject-uncertain", tenantId, subject, revision: undefined },
    );
    this.#apply(afterRevokeSubject(call, reply));
    return reply;
  }

  /** A call whose effect is unknown may have had one. */
  async #orUncertain<T>(call: Promise<T>, mutation: OwnMutation): Promise<T> {
    try {
      return await call;
    } catch (thrown) {
      const error = toSessionAuthorityError(thrown);
      if (error.applied === "unknown") this.#apply([mutation]);
      throw error;
    }
  }

  #apply(mutations: readonly OwnMutation[]): void {
    for (const mutation of mutations) {
      this.#parts.onChanges(this.#parts.cache.ownMutation(mutation));
    }
  }

  #requestId(options: RequestOptions): string {
    return options.requestId ?? this.#parts.options.randomness.requestId();
  }

  #callOptions(options: RevokeOptions): CallOptions {
    const { options: resolved, watch } = this.#parts;
    // EVERYWHERE returns when no lease can hold any more, which takes the bound and a little.
    const waitMs = options.propagation === "everywhere" ? 2 * watch.boundMs : 0;
    return {
      deadlineMs: options.deadlineMs ?? resolved.deadlineMs + waitMs,
      signal: options.signal,
    };
  }

  #words(options: RevokeOptions): RevocationWords {
    return {
      reason: options.reason ?? "unspecified",
      initiatingEntity: options.initiatingEntity ?? "unspecified",
      reasonAdmin: options.reasonAdmin ?? "",
      reasonUser: options.reasonUser ?? "",
      propagation: options.propagation ?? "committed",
      requestId: this.#requestId(options),
    };
  }
}

const NOTHING_FOUND: Revocation = {
  found: false,
  alreadyRevoked: false,
  revision: undefined,
  achieved: "committed",
  effectiveWithinMs: 0,
};

function optionalToken(text: string): Token | undefined {
  return text === "" ? undefined : new Token(text);
}

function nameTarget(
  target: RevokeTarget,
): { readonly sessionId: string; readonly target: RevokeCall["target"] } | undefined {
  if ("sessionId" in target) {
    const { sessionId } = target;
    return { sessionId, target: { kind: "session-id", sessionId } };
  }
  const token = revealToken(target.token);
  const sessionId = sessionIdOf(token);
  return sessionId === undefined ? undefined : { sessionId, target: { kind: "token", token } };
}

function scopeOf(
  options: RevokeSubjectOptions,
):
  | { readonly kind: "all" }
  | { readonly kind: "except"; readonly sessionId: string }
  | { readonly kind: "device"; readonly deviceId: string } {
  const { exceptSessionId, deviceId } = options;
  if (exceptSessionId !== undefined && deviceId !== undefined) {
    throw new TypeError("Cannot revoke by exceptSessionId and by deviceId at once: give one");
  }
  if (exceptSessionId !== undefined) return { kind: "except", sessionId: exceptSessionId };
  return deviceId === undefined ? { kind: "all" } : { kind: "device", deviceId };
}

function endOf(words: RevocationWords): SessionEnd {
  return {
    reason: words.reason,
    atMs: undefined,
    initiatingEntity: words.initiatingEntity,
    reasonUser: words.reasonUser,
  };
}
