import { randomBytes, randomUUID } from "node:crypto";

/** Where randomness comes from. It is passed in, so that a test decides. */
export interface Randomness {
  /** Uniform in [0, 1). For jitter only. */
  fraction(): number;
  /** An idempotency key: unique, printable ASCII, at most 64 characters. */
  requestId(): string;
  /** 32 bytes that nobody can guess. */
  secret(): Buffer;
}

/** The randomness of this process. */
export const systemRandomness: Randomness = {
  fraction: () => Math.random(),
  requestId: () => randomUUID(),
  secret: () => randomBytes(32),
};
