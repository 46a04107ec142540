import type { Server as GrpcServer } from "@grpc/grpc-js";
import { Server as NetServer } from "node:net";

/**
 * Has a server close connections above a number at once, before TLS costs
 * anything (S-40), and count them. Call it after each bind.
 *
 * grpc-js has no such option, so this looks where it keeps its listeners; where
 * they are not found it throws, because a limit that is silently off is found by
 * an attacker.
 */
export function limitConnections(
  server: GrpcServer,
  connectionsMax: number,
  counter: { refused: number },
): void {
  const listeners: unknown = Reflect.get(server, "http2Servers");
  const found = listeners instanceof Map ? [...listeners.keys()] : [];
  const servers = found.filter((listener) => listener instanceof NetServer);
  if (servers.length === 0) {
    throw new Error(`Cannot limit connections to ${connectionsMax}: no listener was found`);
  }
  for (const listener of servers) {
    listener.maxConnections = connectionsMax;
    listener.on("drop", () => {
      counter.refused += 1;
    });
  }
}
