import { status } from "@grpc/grpc-js";

/**
 * How the command ends. 0: done. 1: it failed, or the answer is no. 2: it was not
 * used as it wants to be. 3: the authority, or Redis, cannot be reached.
 */
export const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 3 } as const;

/** One of `EXIT`. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The end of a command, with the sentence for whoever ran it. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What a failed call means for the command. */
export function exitCodeOf(code: status): ExitCode {
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED) {
    return EXIT.unavailable;
  }
  return code === status.INVALID_ARGUMENT ? EXIT.usage : EXIT.failed;
}
