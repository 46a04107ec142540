import { type Document, isScalar, parseDocument, visit } from "yaml";
import type { z } from "zod";

import { type ConfigurationFile, fileSchema } from "./schema.js";

/** A mistake in the configuration file: key, value and bound, for the person who made it. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** Far more than ten thousand tenants take; a larger file is not a configuration. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024;

// The hash of a key is no secret, but what stands there by mistake may be the key itself.
const UNPRINTABLE = /hash|key|secret|password/;
const VALUE_CHARS_MAX = 80;

/** Reads the text of a configuration file. Throws a `ConfigurationError` for the first mistake. */
export function parseConfiguration(text: string): ConfigurationFile {
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    throw new ConfigurationError(`it must be at most ${FILE_BYTES_MAX} bytes`);
  }
  const document: unknown = readYaml(text);
  const result = fileSchema.safeParse(document);
  if (!result.success) {
    throw explain(result.error, document);
  }
  return result.data;
}

function readYaml(text: string): unknown {
  // The parser would compare every key of a map with every other: hours for 100,000 keys.
  const document = parseDocument(text, { uniqueKeys: false, prettyErrors: false });
  const [mistake] = [...document.errors, ...document.warnings];
  if (mistake !== undefined) {
    throw new ConfigurationError(
      `line ${lineAt(text, mistake.pos[0])} is not YAML (${mistake.code})`,
    );
  }
  refuseAmbiguousKeys(document, text);
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch {
    throw new ConfigurationError("it must not unfold aliases more than 100 times");
  }
}

/**
 * Of two keys of one name one would win, and nobody can say which was meant. The one
 * that names an object's prototype would be lost without a word.
 */
function refuseAmbiguousKeys(document: Document, text: string): void {
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        const name = isScalar(key) ? String(key.value) : key;
        if (seen.has(name) || name === "__proto__") {
          const at = isScalar(key) ? (key.range?.[0] ?? 0) : 0;
          const what = seen.has(name) ? "repeats a key of its map" : "has __proto__ as a key";
          throw new ConfigurationError(`line ${lineAt(text, at)} ${what}`);
        }
        seen.add(name);
      }
    },
  });
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

function explain(error: z.ZodError, document: unknown): ConfigurationError {
  const issue = deepest(error.issues[0]);
  if (issue === undefined) {
    return new ConfigurationError("it is not a configuration");
  }
  const path = formatPath(issue.path);
  if (issue.code === "unrecognized_keys") {
    const keys = issue.keys.map((key) => formatPath([...issue.path, key])).join(", ");
    return new ConfigurationError(`${keys}: there is no such key`);
  }
  if (issue.code === "invalid_key") {
    const bound = issue.issues[0]?.message ?? "a name";
    return new ConfigurationError(`${path}: the key must be ${bound}`);
  }
  const value = formatValue(issue, document);
  return new ConfigurationError(`${path}${value}: it must be ${boundOf(issue)}`);
}

/** Of a value that fits none of several shapes, the mistake in the shape it came closest to. */
function deepest(issue: z.core.$ZodIssue | undefined): z.core.$ZodIssue | undefined {
  if (issue?.code !== "invalid_union") {
    return issue;
  }
  const nested = issue.errors.flat().find(({ path }) => path.length > 0);
  return nested === undefined ? issue : { ...nested, path: [...issue.path, ...nested.path] };
}

function boundOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      // Our own kinds of value say their bound; zod's say "Invalid input".
      return issue.message.startsWith("Invalid input") ? kindOf(issue.expected) : issue.message;
    case "invalid_value":
      return `one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return isSized(issue) ? `at least ${issue.minimum} of them` : issue.message;
    case "too_big":
      return isSized(issue) ? `at most ${issue.maximum} of them` : issue.message;
    case "custom":
    case "invalid_format":
    case "invalid_union":
    case "invalid_key":
    case "invalid_element":
    case "not_multiple_of":
    case "unrecognized_keys":
      return issue.message;
  }
}

function kindOf(expected: string): string {
  return `${/^[aeiou]/.test(expected) ? "an" : "a"} ${expected}`;
}

function isSized(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): boolean {
  return issue.origin === "array" || issue.origin === "set" || issue.origin === "map";
}

function formatPath(path: readonly PropertyKey[]): string {
  const text = path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`))
    .join("");
  return text === "" ? "the file" : text.replace(/^\./, "");
}

/** The value that was refused, shortened; nothing where it may be a secret or is too large. */
function formatValue(issue: z.core.$ZodIssue, document: unknown): string {
  if (issue.path.some((key) => UNPRINTABLE.test(String(key)))) {
    return "";
  }
  const params: unknown = issue.code === "custom" ? issue.params : undefined;
  const value = isObject(params) && "value" in params ? params.value : valueAt(document, issue);
  if (value === undefined) {
    return " is missing";
  }
  const isPlain = value === null || typeof value !== "object";
  const text = isPlain ? JSON.stringify(value) : "";
  return text === "" ? "" : ` is ${text.slice(0, VALUE_CHARS_MAX)}`;
}

function valueAt(document: unknown, { path }: z.core.$ZodIssue): unknown {
  let value = document;
  for (const key of path) {
    value = isObject(value) ? Reflect.get(value, key) : undefined;
  }
  return value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
