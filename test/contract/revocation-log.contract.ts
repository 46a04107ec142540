import { describe } from "vitest";

import { describeLog } from "./facts/log.js";
import type { ContractOptions, CreateHarness } from "./harness.js";
import { factsOf } from "./world.js";

/** What every revocation log does, as tests. */
export function describeRevocationLog(
  name: string,
  createHarness: CreateHarness,
  options: ContractOptions = {},
): void {
  describe(`the revocation log: ${name}`, () => {
    describeLog(factsOf(createHarness, options));
  });
}
