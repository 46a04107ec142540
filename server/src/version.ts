import { readFileSync } from "node:fs";

/** The version of this server. */
export const SERVER_VERSION = readVersion();

function readVersion(): string {
  const file: unknown = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  );
  const version: unknown =
    typeof file === "object" && file !== null && "version" in file ? file.version : "";
  return typeof version === "string" ? version : "";
}
