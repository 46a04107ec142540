import {
  createSessionClient,
  type SessionClient,
  type SessionClientOptions,
} from "@coatcheck/client";

import { eventually } from "./eventually.js";

/** An SDK client for tests: tenant "acme", plaintext. */
export function createService(
  target: string,
  options: Partial<SessionClientOptions> = {},
): SessionClient {
  return createSessionClient({
    target,
    tenantId: "acme",
    clientName: "test",
    credentials: "plaintext",
    ...options,
  });
}

/** Validates until the answer comes from memory, which is when it was kept. */
export async function warm(service: SessionClient, token: string): Promise<void> {
  await eventually(async () => {
    const answer = await service.validate(token);
    return answer.kind === "valid" && answer.source === "cache";
  });
}

/**
 * Polls memory alone until the token would no longer be accepted, and returns
 * how many ms after `sinceMs` that was. A peek never asks the authority.
 */
export async function msUntilDropped(
  service: SessionClient,
  token: string,
  sinceMs: number,
): Promise<number> {
  await eventually(() => service.peek(token)?.kind !== "valid", {
    timeoutMs: 30_000,
    intervalMs: 1,
  });
  return performance.now() - sinceMs;
}

/** A one-word summary of an answer, for assertions that read well. */
export async function say(service: SessionClient, token: string): Promise<string> {
  const answer = await service.validate(token);
  return answer.kind === "invalid" ? answer.outcome : answer.kind;
}
