import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { service as healthService } from "grpc-health-check";

/*
 * Reflection, for people with grpcurl. @grpc/reflection wants a package as
 * proto-loader makes it, and what proto-loader makes has lost its imports, its
 * proto3 `optional` and its file names, so that Go clients refuse it. All that is
 * read of the package are the encoded file descriptors, so it is given those of
 * the contract as `buf` wrote them, and nothing else. Health is in no contract of
 * ours; its descriptor comes from the library that serves it, so that
 * `grpcurl … grpc.health.v1.Health/Check` works.
 */

const FILE_FIELD = 1;

/** Serves the schemas of the contract and of health. */
export function addReflection(server: Server): void {
  new ReflectionService({
    files: {
      format: "Protocol Buffer 3 EnumDescriptorProto",
      type: {},
      fileDescriptorProtos: [...contractFiles(), ...healthFiles()],
    },
  }).addToServer(server);
}

function contractFiles(): Buffer[] {
  const path = createRequire(import.meta.url).resolve("@coatcheck/proto/descriptors.binpb");
  const reader = new BinaryReader(readFileSync(path));
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === FILE_FIELD) {
      files.push(Buffer.from(reader.bytes()));
    } else {
      reader.skip(wireType);
    }
  }
  return files;
}

function healthFiles(): Buffer[] {
  return Object.values(healthService).flatMap(
    ({ requestType }) => requestType.fileDescriptorProtos,
  );
}
