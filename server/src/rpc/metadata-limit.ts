import type { Metadata } from "@grpc/grpc-js";

import { RpcError } from "./status.js";

/** Refuses calls whose metadata is larger than a caller needs: it is a flood (S-40). */
export class MetadataLimit {
  readonly #bytesMax: number;
  #refused = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** How many calls were refused. */
  get refused(): number {
    return this.#refused;
  }

  /** Throws OVERLOADED where there is more. Asked before anything else about a call. */
  check(metadata: Metadata): void {
    let bytes = 0;
    // The only way to all values that copies none: this is on the hot path.
    for (const [key, values] of Object.entries(metadata.toJSON())) {
      for (const value of values) {
        bytes += key.length + value.length;
      }
    }
    if (bytes > this.#bytesMax) {
      this.#refused += 1;
      throw new RpcError(
        "OVERLOADED",
        `Cannot take ${bytes} bytes of metadata: at most ${this.#bytesMax}`,
      );
    }
  }
}
