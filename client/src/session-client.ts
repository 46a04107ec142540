import { SessionAuthorityError, toSessionAuthorityError } from "./base/errors.js";
import type { RevocationEvent } from "./base/event.js";
import { instantOf } from "./base/instant.js";
import type { Session } from "./base/session.js";
import type { TokenLike } from "./base/token.js";
import type { Changes } from "./cache/log-follower.js";
import { ValidationCache } from "./cache/validation-cache.js";
import { createCounters } from "./counters.js";
import { Followers, type Follow } from "./follow.js";
import { RevocationWatch } from "./freshness/revocation-watch.js";
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
import { Mutations } from "./mutations.js";
import {
  INITIAL_STALENESS_MS,
  resolveOptions,
  SDK_VERSION,
  type ResolvedOptions,
  type SessionClientOptions,
} from "./options.js";
import { readStatus, type ClientStatus } from "./status.js";
import { registerMetrics } from "./telemetry.js";
import { TouchReporter } from "./touch-reporter.js";
import { createGrpcTransport } from "./transport/grpc-transport.js";
import type { Transport } from "./transport/transport.js";
import type { ValidateOptions, Validation } from "./validation.js";
import { Validator } from "./validator.js";

/**
 * A service's view of the sessions of one tenant.
 *
 * It connects when it is first used. No method but the constructor's throws
 * before it returns a promise; those that change or read sessions reject with a
 * `SessionAuthorityError` and nothing else, except for arguments that no program
 * should pass.
 */
export interface SessionClient extends AsyncDisposable {
  /**
   * Says whether a token may be used: from memory where that keeps the promise,
   * otherwise by asking the authority. Every failure is an answer, of kind
   * `unavailable`. Without a token the answer is `no-token`, and nobody is asked.
   */
  validate(token: TokenLike | undefined, options?: ValidateOptions): Promise<Validation>;
  /** What memory says, at once; `undefined` where the authority has to be asked. */
  peek(token: TokenLike | undefined, options?: ValidateOptions): Validation | undefined;
  /** Creates a session. Repeats of a lost call are made with the same request id and secret. */
  create(options?: CreateOptions): Promise<CreatedSession>;
  /** Reads a session, live or ended, from the authority. */
  get(sessionId: string, options?: Pick<RequestOptions, "signal">): Promise<Session>;
  /** Lists a subject's live sessions, oldest first, from the authority. */
  list(subject: string, options?: ListOptions): Promise<SessionPage>;
  /** Changes the attributes of a live session. */
  update(sessionId: string, options: UpdateOptions): Promise<UpdatedSession>;
  /** Replaces a token. That it may not be replaced is an answer. */
  rotate(token: TokenLike, options: RotateOptions): Promise<Rotation>;
  /** Ends one session. When it resolves, this client no longer accepts it. */
  revoke(target: RevokeTarget, options?: RevokeOptions): Promise<Revocation>;
  /** Ends a subject's sessions: all, all but one, or those of one device. */
  revokeSubject(subject: string, options?: RevokeSubjectOptions): Promise<SubjectRevocation>;
  /** Follows a session for as long as a connection lives. */
  follow(token: TokenLike | undefined): Follow;
  /** Resolves once memory may be trusted. Nobody has to wait for it: until then the authority is asked. */
  ready(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Calls `listener` with every revocation this client learns of. Returns what unsubscribes. */
  onRevoked(listener: (event: RevocationEvent) => void): () => void;
  /** What this client knows of itself. */
  status(): ClientStatus;
  /** Reports the last uses, ends the stream and forgets everything. Idempotent. */
  close(): Promise<void>;
}

/** Creates a client. Nothing is opened before it is used. Throws where an option breaks its bound. */
export function createSessionClient(options: SessionClientOptions): SessionClient {
  return new AuthorityClient(resolveOptions(options));
}

class AuthorityClient implements SessionClient {
  readonly #options: ResolvedOptions;
  readonly #transport: Transport;
  readonly #cache: ValidationCache;
  readonly #watch: RevocationWatch;
  readonly #touches: TouchReporter;
  readonly #validator: Validator;
  readonly #mutations: Mutations;
  readonly #followers: Followers;
  readonly #unregister: (() => void) | undefined;
  readonly #listeners = new Set<(event: RevocationEvent) => unknown>();
  readonly #counters = createCounters();
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedOptions) {
    const { clock, randomness, logger } = options;
    const onChanges = (changes: Changes): void => {
      this.#onChanges(changes);
    };
    this.#options = options;
    this.#transport = options.transport ?? createGrpcTransport(options);
    this.#cache = new ValidationCache(options.cache);
    this.#watch = new RevocationWatch({
      transport: this.#transport,
      cache: this.#cache,
      clock,
      randomness,
      logger,
      identity: { ...options, sdkVersion: SDK_VERSION },
      maxStalenessMs: options.maxStalenessMs,
      initialStalenessMs: INITIAL_STALENESS_MS,
      onChanges,
    });
    const parts = {
      options,
      transport: this.#transport,
      cache: this.#cache,
      watch: this.#watch,
      counters: this.#counters,
      onChanges,
    };
    this.#touches = new TouchReporter({
      ...parts,
      clock,
      flushMs: options.touchFlushMs,
      deadlineMs: options.deadlineMs,
      usesMax: options.touchesMax,
    });
    this.#validator = new Validator({ ...parts, touches: this.#touches });
    this.#mutations = new Mutations(parts);
    this.#followers = new Followers({
      clock,
      randomness,
      followersMax: options.followersMax,
      recheck: async (token, minRevision) =>
        await this.validate(token, {
          touch: false,
          ...(minRevision === undefined ? {} : { minRevision }),
        }),
      applied: (partition) => this.#cache.partitions[partition]?.applied,
      read: async (sessionId) => await this.get(sessionId),
      boundMs: () => this.#watch.boundMs,
    });
    this.#unregister =
      options.meterProvider && registerMetrics(options.meterProvider, () => this.status());
  }

  async validate(token: TokenLike | undefined, options: ValidateOptions = {}): Promise<Validation> {
    if (this.#closing !== undefined) return { kind: "unavailable", reason: "closed" };
    this.#watch.start();
    return await this.#validator.validate(token, options);
  }

  peek(token: TokenLike | undefined, options: ValidateOptions = {}): Validation | undefined {
    if (this.#closing !== undefined) return { kind: "unavailable", reason: "closed" };
    this.#watch.start();
    return this.#validator.peek(token, options);
  }

  async create(options: CreateOptions = {}): Promise<CreatedSession> {
    return await this.#open(async () => await this.#mutations.create(options));
  }

  async get(sessionId: string, options: Pick<RequestOptions, "signal"> = {}): Promise<Session> {
    return await this.#open(async () => await this.#mutations.get(sessionId, options));
  }

  async list(subject: string, options: ListOptions = {}): Promise<SessionPage> {
    return await this.#open(async () => await this.#mutations.list(subject, options));
  }

  async update(sessionId: string, options: UpdateOptions): Promise<UpdatedSession> {
    return await this.#open(async () => await this.#mutations.update(sessionId, options));
  }

  async rotate(token: TokenLike, options: RotateOptions): Promise<Rotation> {
    return await this.#open(async () => await this.#mutations.rotate(token, options));
  }

  async revoke(target: RevokeTarget, options: RevokeOptions = {}): Promise<Revocation> {
    return await this.#open(async () => await this.#mutations.revoke(target, options));
  }

  async revokeSubject(
    subject: string,
    options: RevokeSubjectOptions = {},
  ): Promise<SubjectRevocation> {
    return await this.#open(async () => await this.#mutations.revokeSubject(subject, options));
  }

  follow(token: TokenLike | undefined): Follow {
    if (this.#closing === undefined) this.#watch.start();
    return this.#followers.follow(token);
  }

  async ready(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#open(async () => {
      await this.#watch.ready(options.signal);
    });
  }

  onRevoked(listener: (event: RevocationEvent) => void): () => void {
    // A function passed twice is two subscriptions: each has its own end.
    const own = listener.bind(undefined);
    this.#listeners.add(own);
    if (this.#closing === undefined) this.#watch.start();
    return () => {
      this.#listeners.delete(own);
    };
  }

  status(): ClientStatus {
    return readStatus(
      {
        cache: this.#cache,
        watch: this.#watch,
        counters: this.#counters,
        inFlight: this.#validator.inFlight,
        followers: this.#followers.count,
      },
      instantOf(this.#options.clock),
    );
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#watch.close();
    this.#followers.close();
    this.#listeners.clear();
    this.#unregister?.();
    await this.#touches.close();
    this.#transport.close();
    this.#cache.forgetEverything();
  }

  async #open<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) {
      throw new SessionAuthorityError({
        reason: "closed",
        applied: "no",
        message: "Cannot call the authority: the client has been closed",
      });
    }
    return await call();
  }

  #onChanges(changes: Changes): void {
    this.#followers.onChanges(changes);
    for (const event of changes.events) {
      if (event.kind === "revoked") this.#tell(event);
    }
  }

  #tell(event: RevocationEvent): void {
    for (const listener of this.#listeners) {
      // A listener's mistake must not keep the cache from applying the next event.
      try {
        const returned: unknown = listener(event);
        // An async function is a listener as well, and its mistake a rejection.
        if (returned instanceof Promise) returned.catch(this.#onListenerFailed);
      } catch (thrown) {
        this.#onListenerFailed(thrown);
      }
    }
  }

  readonly #onListenerFailed = (thrown: unknown): void => {
    const { message } = toSessionAuthorityError(thrown);
    this.#options.logger?.warn("an onRevoked listener failed", { message });
  };
}
