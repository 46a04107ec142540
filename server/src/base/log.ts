/**
 * Where the server's own sentences go: one line an entry, fields before prose.
 *
 * Only ids may be given to it. Tokens, token digests and the driver's errors
 * (they carry command arguments) never are (S-46).
 */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** What is known of an entry, by name. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Says nothing. */
export const silentLog: Log = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
};

function ignore(): void {
  // Nobody listens.
}
