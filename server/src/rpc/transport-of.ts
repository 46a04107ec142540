/** The HTTP/2 stream under a call, as far as it is used. */
export interface Transport {
  readonly closed: boolean;
  /** The connection. When it reaches its age grpc-js closes it: it takes no new streams. */
  readonly session?: unknown;
  close(code: number): void;
  once(event: "close", listener: () => void): void;
}

/**
 * The HTTP/2 stream under a call. grpc-js gives a server no way to reset one or to tell one
 * connection from another, so
 * this looks where it keeps it; where it is not found the stream stays until the
 * connection ends, and is not told before that its connection has reached its age.
 * `test/rpc/watch-backpressure.test.ts` and `connection-age.test.ts` notice.
 */
export function transportOf(call: object): Transport | undefined {
  let layer: unknown = Reflect.get(call, "call");
  for (let depth = 0; depth < 8 && isObject(layer); depth += 1) {
    const found: unknown = Reflect.get(layer, "stream");
    if (isTransport(found)) {
      return found;
    }
    layer = Reflect.get(layer, "nextCall");
  }
  return undefined;
}

/** Whether properties can be read of a value. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isTransport(value: unknown): value is Transport {
  return (
    isObject(value) &&
    typeof Reflect.get(value, "close") === "function" &&
    typeof Reflect.get(value, "once") === "function" &&
    typeof Reflect.get(value, "closed") === "boolean"
  );
}
