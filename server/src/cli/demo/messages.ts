import type { Freshness, Validation } from "@coatcheck/client";

/** What the storyteller asks a service, and what the service answers. */
export interface ServiceCalls {
  /** Validates each token once, some at a time. */
  validateAll: {
    readonly ask: { readonly tokens: readonly string[]; readonly rounds: number };
    readonly answer: {
      readonly validations: number;
      readonly fromCache: number;
      readonly seconds: number;
    };
  };
  /** Validates one token. */
  validate: { readonly ask: { readonly token: string }; readonly answer: Seen };
  /** Reports the moment the session is gone from this service's cache. */
  reportDrop: {
    readonly ask: { readonly sessionId: string; readonly token: string };
    readonly answer: Instant;
  };
  /** Resolves once the SDK is in one of these states. */
  awaitState: {
    readonly ask: { readonly state: Freshness; readonly streaming?: boolean };
    readonly answer: Instant;
  };
}

/** An instant of the machine's monotonic clock. */
export interface Instant {
  readonly atMs: number;
}

/** What a validation said, without the session. */
export interface Seen {
  readonly kind: Validation["kind"];
  readonly source: string;
  readonly outcome: string;
}

/** The name of a call. */
export type CallName = keyof ServiceCalls;

/** One call on its way to a service. */
export interface CallMessage<Name extends CallName = CallName> {
  readonly id: number;
  readonly name: Name;
  readonly ask: ServiceCalls[Name]["ask"];
}

/** What comes back: the answer, or why there is none. */
export interface AnswerMessage {
  readonly id: number;
  readonly answer?: unknown;
  readonly problem?: string;
}
