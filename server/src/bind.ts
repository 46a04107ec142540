import type { Server, ServerCredentials } from "@grpc/grpc-js";

import type { ListenAddress } from "./config.js";

/** Where a server listens. */
export interface BoundAddress {
  /** `host:port` as a gRPC target. */
  readonly address: string;
  readonly port: number;
}

/** Has a server listen. Rejects where the address cannot be had. */
export async function bind(
  server: Server,
  { host, port }: ListenAddress,
  credentials: ServerCredentials,
): Promise<BoundAddress> {
  const name = host.includes(":") ? `[${host}]` : host;
  return await new Promise((resolve, reject) => {
    server.bindAsync(`${name}:${port}`, credentials, (error, bound) => {
      if (error === null) resolve({ address: `${name}:${bound}`, port: bound });
      else reject(new Error(`Cannot listen on ${name}:${port}: the address cannot be had`));
    });
  });
}
