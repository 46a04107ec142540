import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createAuthority } from "#server/server.js";

import { startChild } from "../support/child.js";
import { SessionApi } from "../support/session-api.js";
import { Canaries } from "./canaries.js";

/** What a heap snapshot of a service was found to have. */
export interface HeapFindings {
  readonly bytes: number;
  readonly secrets: readonly string[];
  /** The control: of so many sessions the public id is there. */
  readonly sessionIds: number;
  /** What the service was answered, by kind, and how often from memory. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly hits: number;
  readonly entries: number;
}

const CONCURRENCY = 32;
const PROCESS_MS = 120_000;

/**
 * Has a process with the SDK validate tokens, and searches all of its memory that
 * a heap snapshot shows for them (S-20, T16). A tenth of the tokens are revoked ones.
 */
export async function searchHeap(options: {
  readonly sessions: number;
  readonly validations: number;
  /** Whether the service keeps a token, so that it is seen to be found. @default false */
  readonly isPlanted?: boolean;
}): Promise<HeapFindings> {
  const folder = mkdtempSync(join(tmpdir(), "coatcheck-heap-"));
  const authority = await createAuthority();
  const api = new SessionApi(authority.address);
  try {
    const { secrets, sessionIds, disguised } = await createTokens(api, options.sessions);
    const tokensFile = join(folder, "tokens");
    writeFileSync(tokensFile, disguised, { mode: 0o600 });
    const snapshotFile = join(folder, "service.heapsnapshot");
    const plant = options.isPlanted === true ? ["planted"] : [];
    const args = [
      authority.address,
      tokensFile,
      snapshotFile,
      String(options.validations),
      ...plant,
    ];
    const child = startChild("test/leaks/sdk-process.ts", { args });
    const [line] = await child.waitForLine(/^\{.*\}$/, PROCESS_MS);
    await child.exited;
    const snapshot = readFileSync(snapshotFile);
    const text = snapshot.toString("latin1");
    return {
      bytes: snapshot.length,
      secrets: secrets.findInBytes(snapshot),
      sessionIds: sessionIds.filter((id) => text.includes(id)).length,
      ...(JSON.parse(line) as Pick<HeapFindings, "kinds" | "hits" | "entries">),
    };
  } finally {
    api.close();
    await authority.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Tokens {
  readonly secrets: Canaries;
  readonly sessionIds: readonly string[];
  readonly disguised: Buffer;
}

async function createTokens(api: SessionApi, sessions: number): Promise<Tokens> {
  const secrets = new Canaries();
  const sessionIds: string[] = [];
  const parts: Buffer[] = [];
  async function createOne(index: number): Promise<void> {
    const { token, session } = await api.create({ subject: `subject-${index}` });
    secrets.addToken(token);
    sessionIds.push(session?.sessionId ?? "");
    parts.push(Buffer.from(token, "latin1").map((byte) => byte ^ 0xff) as Buffer);
    if (index % 10 === 0) await api.revoke({ target: { $case: "token", value: token } });
  }
  for (let from = 0; from < sessions; from += CONCURRENCY) {
    const many = Math.min(CONCURRENCY, sessions - from);
    await Promise.all(
      Array.from({ length: many }, async (_, at) => {
        await createOne(from + at);
      }),
    );
  }
  return { secrets, sessionIds, disguised: Buffer.concat(parts) };
}
