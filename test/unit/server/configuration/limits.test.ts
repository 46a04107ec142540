import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import {
  fileKeyOf,
  formatLimit,
  LIMIT_NAMES,
  LIMITS,
  limitsTable,
  resolveLimits,
} from "#server/configuration/limits.js";
import { limitsSchema } from "#server/configuration/limits-schema.js";

const NONE = { hasCallers: false };
const SOME = { hasCallers: true };
const PER_CALLER = LIMIT_NAMES.filter((name) => LIMITS[name].perCaller === true);

describe("the limits", () => {
  it("leave every local caller alone until callers are configured or a limit is set", () => {
    const local = resolveLimits({}, NONE);

    expect(PER_CALLER.map((name) => local[name])).toEqual(PER_CALLER.map(() => 0));
    expect(resolveLimits({ createsPerSubjectMax: 5 }, NONE).createsPerSubjectMax).toBe(5);
    expect(PER_CALLER).toContain("createsPerCallerMax");
  });

  it("have their defaults where callers are configured", () => {
    const limits = resolveLimits({}, SOME);

    expect(limits).toEqual(
      Object.fromEntries(LIMIT_NAMES.map((name) => [name, LIMITS[name].default])),
    );
    expect(limits).toMatchObject({
      metadataBytesMax: 8192,
      receiveBytesMax: 256 * 1024,
      streamsPerConnectionMax: 256,
      streamsPerPeerMax: 4,
    });
  });

  it.each(LIMIT_NAMES)("%s: its default is within its bounds, and the bounds hold", (name) => {
    const { min, max } = LIMITS[name];

    expect(resolveLimits({ [name]: min }, SOME)[name]).toBe(min);
    expect(resolveLimits({ [name]: max }, SOME)[name]).toBe(max);
    expect(LIMITS[name].default).toBeGreaterThanOrEqual(min);
    expect(LIMITS[name].default).toBeLessThanOrEqual(max);
    for (const wrong of [min - 1, max + 1, min + 0.5, NaN]) {
      expect(() => resolveLimits({ [name]: wrong }, SOME)).toThrow(`limits.${name}`);
    }
  });
});

describe("the limits section of the file", () => {
  it.each(LIMIT_NAMES)("takes %s up to its bounds and no further", (name) => {
    const { min, max } = LIMITS[name];
    const isDuration = name.endsWith("Ms");
    function parse(value: string | number): unknown {
      const written = isDuration ? value : Number(value);
      return limitsSchema.safeParse({ [fileKeyOf(name)]: written }).data;
    }

    expect(parse(formatLimit(name, min))).toEqual({ [name]: min });
    expect(parse(formatLimit(name, max))).toEqual({ [name]: max });
    expect(parse(isDuration ? `${min - 1}ms` : min - 1)).toBeUndefined();
    expect(parse(isDuration ? `${max / 1000 + 1}s` : max + 1)).toBeUndefined();
  });

  it("may be empty and refuses a key it does not know", () => {
    expect(limitsSchema.parse({})).toEqual({});
    expect(limitsSchema.safeParse({ creates_per_caler_max: 1 }).success).toBe(false);
    expect(limitsSchema.safeParse({ createsPerCallerMax: 1 }).success).toBe(false);
  });

  it("reads back what the table writes", () => {
    for (const name of LIMIT_NAMES) {
      const written = formatLimit(name, LIMITS[name].default);
      const value = name.endsWith("Ms") ? written : Number(written);
      expect(limitsSchema.parse({ [fileKeyOf(name)]: value })).toEqual({
        [name]: LIMITS[name].default,
      });
    }
  });
});

describe("the server's README", () => {
  const readme = readFileSync(new URL("../../../../server/README.md", import.meta.url), "utf8");
  function cells(row: string): string {
    return row
      .split("|")
      .map((cell) => cell.trim())
      .join("|");
  }

  it("has a row for each limit, as the code has it, and no other", () => {
    const section = readme.slice(readme.indexOf("## Limits"));
    const table = section.slice(0, section.indexOf("\n## ", 1));
    const rows = table.split("\n").filter((line) => line.startsWith("| `"));

    expect(rows.map(cells)).toEqual(limitsTable().map(cells));
  });
});
