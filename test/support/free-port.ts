import { createServer } from "node:net";

/**
 * A TCP port of the loopback interface that nobody listens on now. Somebody else may take it
 * before you do: what listens there has to be able to fail and be tried again.
 */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const port = listeningPort(server.address());
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The port in what `server.address()` returns. */
export function listeningPort(
  address: ReturnType<ReturnType<typeof createServer>["address"]>,
): number {
  if (address === null || typeof address === "string") {
    throw new TypeError(`Cannot read a port from ${String(address)}: the server does not listen`);
  }
  return address.port;
}
