import type { ServiceDefinition } from "@grpc/grpc-js";

import { invalidField } from "./rules.js";

/*
 * A request whose bytes are no message of its type. grpc-js answers it by itself, with
 * INTERNAL and no details, which looks like a fault of ours and says nothing. So
 * reading never fails here: what cannot be read becomes an `Unreadable`, and the
 * wrappers of the handlers refuse it like any other bad input.
 */

/** What stands for a request that could not be read. */
export class Unreadable {
  readonly isUnreadable = true;
}

/** The service with requests that are always read, if only as `Unreadable`. */
export function readable(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => [
      name,
      {
        ...method,
        requestDeserialize: (bytes: Buffer): unknown => {
          try {
            return method.requestDeserialize(bytes);
          } catch {
            return new Unreadable();
          }
        },
      },
    ]),
  );
}

/** Throws INVALID_ARGUMENT for a request that could not be read. */
export function refuseUnreadable(request: unknown): void {
  if (request instanceof Unreadable) {
    throw invalidField("request", "an encoded message of the method's type");
  }
}
