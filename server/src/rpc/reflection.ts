import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";

import { HEALTH_DESCRIPTORS } from "./health-descriptor.js";

/*
 * Reflection, for people with grpcurl. @grpc/reflection wants a package as
 * proto-loader makes it, and what proto-loader makes has lost its imports, its
 * proto3 `optional` and its file names, so that Go clients refuse it. All that is
 * read of the package are the encoded file descriptors, so it is given those of
 * the contract as `buf` wrote them, and nothing else. Health is in no contract of
 * ours; its descriptor is added so that `grpcurl … grpc.health.v1.Health/Check` works.
 */

const FILE_FIELD = 1;

/** Serves the schemas of the contract and of health. */
export function addReflection(server: Server): void {
  new ReflectionService({
    files: {
      format: "Protocol Buffer 3 EnumDescriptorProto",
      type: {},
      fileDescriptorProtos: [contractDescriptors(), HEALTH_DESCRIPTORS].flatMap(filesOf),
    },
  }).addToServer(server);
}

function contractDescriptors(): Buffer {
  const path = createRequire(import.meta.url).resolve("@coatcheck/proto/descriptors.binpb");
  return readFileSync(path);
}

/** The files of a FileDescriptorSet, each still encoded. */
function filesOf(descriptorSet: Buffer): Buffer[] {
  const reader = new BinaryReader(descriptorSet);
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
