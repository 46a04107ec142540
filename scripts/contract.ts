import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { runTool } from "./run-tool.js";

/** What generation writes, as paths from the root it writes under. */
export const GENERATED = ["proto/src/gen", "proto/descriptors.binpb"] as const;

/** The committed image `buf breaking` compares with. */
export const BASELINE = "proto/baseline.binpb";

/** Generates everything under `root` and returns what went wrong, if anything did. */
export function generateInto(root: string): string | undefined {
  mkdirSync(join(root, "proto"), { recursive: true });
  const steps = [
    ["generate", "--template", "proto/buf.gen.yaml", "--output", root],
    ["build", "--output", join(root, "proto/descriptors.binpb"), "--as-file-descriptor-set"],
  ];
  for (const step of steps) {
    const { ok, output } = runTool("buf", step);
    if (!ok) return output;
  }
  return undefined;
}

/** Renews the baseline from the .proto files as they are now. */
export function writeBaseline(): string | undefined {
  const { ok, output } = runTool("buf", ["build", "--output", BASELINE, "--exclude-source-info"]);
  return ok ? undefined : output;
}
