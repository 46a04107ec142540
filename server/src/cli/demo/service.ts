import { createSessionClient, type SessionClient } from "@coatcheck/client";

import { systemClock } from "../../base/clock.js";
import { machineNowMs } from "../../base/machine-clock.js";
import type { AnswerMessage, CallMessage, CallName, Seen, ServiceCalls } from "./messages.js";
import { endWithStoryteller } from "./storyteller.js";

/*
 * A microservice that links the SDK, as a process of its own. It does what the
 * storyteller asks over the IPC channel and knows nothing of the authority but
 * its address.
 */

const CONCURRENCY = 32;
const POLL_MS = 1;

type Handlers = {
  readonly [Name in CallName]: (
    ask: ServiceCalls[Name]["ask"],
  ) => Promise<ServiceCalls[Name]["answer"]>;
};

const [clientName = "service", target = "", watchTarget = ""] = process.argv.slice(2);
const client = createSessionClient({
  target,
  watchTarget,
  tenantId: "acme",
  clientName,
  credentials: "plaintext",
});

const handlers: Handlers = {
  validateAll: async ({ tokens, rounds }) => {
    let fromCache = 0;
    const startedMs = systemClock.monotonicMs();
    for (let round = 0; round < rounds; round += 1) {
      for (let at = 0; at < tokens.length; at += CONCURRENCY) {
        fromCache += await validateSome(tokens.slice(at, at + CONCURRENCY));
      }
    }
    return {
      validations: tokens.length * rounds,
      fromCache,
      seconds: (systemClock.monotonicMs() - startedMs) / 1000,
    };
  },
  validate: ({ token }) => seen(client, token),
  reportDrop: async ({ token }) => {
    // A peek never asks the authority: it answers what the cache would accept right now.
    await until(() => client.peek(token)?.kind !== "valid");
    return { atMs: machineNowMs() };
  },
  awaitState: async ({ state, streaming }) => {
    await until(() => {
      const status = client.status();
      return status.state === state && (streaming ?? status.isStreaming) === status.isStreaming;
    });
    return { atMs: machineNowMs() };
  },
};

/** Validates all at once; returns how many of the answers came from memory. */
async function validateSome(tokens: readonly string[]): Promise<number> {
  const answers = await Promise.all(tokens.map((token) => client.validate(token)));
  const sources = answers.map((answer) => {
    if (answer.kind !== "valid") throw new Error(`Expected a valid session, got ${answer.kind}`);
    return answer.source;
  });
  return sources.filter((source) => source === "cache").length;
}

async function seen(sdk: SessionClient, token: string): Promise<Seen> {
  const validation = await sdk.validate(token);
  return {
    kind: validation.kind,
    source: validation.kind === "valid" ? validation.source : "",
    outcome: validation.kind === "invalid" ? validation.outcome : "",
  };
}

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    function look(): void {
      if (condition()) {
        resolve();
      } else {
        systemClock.setTimer(POLL_MS, look);
      }
    }
    look();
  });
}

async function answer<Name extends CallName>(message: CallMessage<Name>): Promise<AnswerMessage> {
  try {
    return { id: message.id, answer: await handlers[message.name](message.ask) };
  } catch (error) {
    return { id: message.id, problem: error instanceof Error ? error.message : String(error) };
  }
}

process.on("message", (message: CallMessage) => {
  answer(message).then(
    (reply) => process.send?.(reply),
    (error: unknown) => {
      throw error;
    },
  );
});
endWithStoryteller();
await client.ready();
process.send?.({ id: 0 } satisfies AnswerMessage);
