import { z } from "zod";

import { duration, whole } from "./fields.js";
import {
  fileKeyOf,
  formatLimit,
  isDuration,
  LIMIT_NAMES,
  type LimitName,
  type LimitOverrides,
  LIMITS,
} from "./limits.js";

/**
 * The `limits` section: rates, queues and counts. A file names what it changes;
 * `resolveLimits` fills in the rest.
 */
export const limitsSchema = z
  .strictObject(
    Object.fromEntries(LIMIT_NAMES.map((name) => [fileKeyOf(name), fieldOf(name).optional()])),
  )
  .transform(toOverrides);

function fieldOf(name: LimitName): z.ZodType<number> {
  const { min, max } = LIMITS[name];
  return isDuration(name)
    ? duration({ min: formatLimit(name, min), max: formatLimit(name, max) })
    : whole({ min, max });
}

function toOverrides(section: Readonly<Record<string, number | undefined>>): LimitOverrides {
  const overrides: Partial<Record<LimitName, number>> = {};
  for (const name of LIMIT_NAMES) {
    const value = section[fileKeyOf(name)];
    if (value !== undefined) overrides[name] = value;
  }
  return overrides;
}
