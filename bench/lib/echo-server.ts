import { readFileSync } from "node:fs";

import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";

/*
 * The baseline: grpc-js with nothing behind it. It answers every ValidateSession
 * with the bytes in the file named by its argument, neither decoding the request
 * nor encoding the reply, so what it reaches is what the transport can reach.
 */
const [replyFile = ""] = process.argv.slice(2);
const reply = readFileSync(replyFile);

function passThrough(bytes: Buffer): Buffer {
  return bytes;
}

function answer(_call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void {
  callback(null, reply);
}

const server = new Server();
server.addService(
  {
    validateSession: {
      path: "/coatcheck.v1.SessionService/ValidateSession",
      requestStream: false,
      responseStream: false,
      requestSerialize: passThrough,
      requestDeserialize: passThrough,
      responseSerialize: passThrough,
      responseDeserialize: passThrough,
    },
  },
  { validateSession: answer },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) {
    throw error;
  }
  process.stdout.write(`listening on 127.0.0.1:${String(port)}\n`);
});
