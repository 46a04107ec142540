// Asks an authority for its health and says it with the exit code: 0 is SERVING. A container's
// health check, because the image holds nothing that could ask but Node.
//
//   node dist/cli/health.js [service] [address]
//
// The service "" is readiness (the default), "liveness" ignores Redis. Where the environment
// says that the authority has certificates, they are what it asks with.

import { readFileSync } from "node:fs";

import { type ChannelCredentials, Client, credentials, Metadata } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";

import { systemClock } from "../base/clock.js";
import { readConfig } from "../config.js";

const DEADLINE_MS = 2_000;

function main([service = "", address = "127.0.0.1:7443"]: readonly string[]): void {
  const check = healthService["Check"];
  if (check === undefined) throw new TypeError("grpc-health-check defines no method Check");
  const client = new Client(address, security());
  client.makeUnaryRequest(
    check.path,
    check.requestSerialize,
    check.responseDeserialize,
    { service },
    new Metadata(),
    { deadline: systemClock.wallMs() + DEADLINE_MS },
    (error, reply) => {
      client.close();
      const isServing = reply !== undefined && "status" in reply && reply.status === "SERVING";
      console.log(error === null ? JSON.stringify(reply) : error.message);
      process.exitCode = isServing ? 0 : 1;
    },
  );
}

// It is asked on its own machine whether it serves, so who it is need not be proved. To an
// authority that asks for client certificates it shows the authority's own.
function security(): ChannelCredentials {
  const { tls } = readConfig();
  if (tls === undefined) {
    return credentials.createInsecure();
  }
  const [key, cert] = [readFileSync(tls.keyPath), readFileSync(tls.certPath)];
  return credentials.createSsl(null, key, cert, { rejectUnauthorized: false });
}

main(process.argv.slice(2));
