/**
 * The store could not answer. `applied` says what is known of the effect:
 * `"no"` where the command was never sent or was refused, `"unknown"` where it
 * was sent and no answer came.
 */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
  readonly applied: "no" | "unknown";

  constructor(message: string, applied: "no" | "unknown", options?: ErrorOptions) {
    super(message, options);
    this.applied = applied;
  }
}

/** The store has no room for what the call would add. Nothing was applied. */
export class StoreFullError extends Error {
  override readonly name = "StoreFullError";
}

/** The store has not seen a revision that the caller has seen. Nothing was applied. */
export class StoreBehindError extends Error {
  override readonly name = "StoreBehindError";
}

/** The data was written by a newer server. Nothing was applied. */
export class UnsupportedSchemaError extends Error {
  override readonly name = "UnsupportedSchemaError";
}
