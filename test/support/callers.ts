import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Metadata } from "@grpc/grpc-js";

/** A caller in a configuration file of a test. */
export interface TestCaller {
  readonly name: string;
  readonly roles: readonly string[];
  readonly tenants: "*" | readonly string[];
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly key?: string;
}

/** A fresh service key: 32 random bytes. */
export function newServiceKey(): string {
  return randomBytes(32).toString("base64url");
}

/** What a configuration file has in place of a key. */
export function hashOfKey(key: string): string {
  return `sha256:${createHash("sha256").update(key).digest("hex")}`;
}

/** The metadata that a call with a service key carries. */
export function bearer(key: string | undefined): Metadata {
  const metadata = new Metadata();
  if (key !== undefined) metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

/** The callers section. JSON is YAML. */
export function callersSection(callers: readonly TestCaller[]): object {
  return {
    callers: callers.map(({ name, roles, tenants, uris = [], dnsNames = [], key }) => ({
      name,
      roles,
      tenants,
      uris,
      dns_names: dnsNames,
      service_key_hashes: key === undefined ? [] : [hashOfKey(key)],
    })),
  };
}

/** A configuration file in a folder of its own. */
export class ConfigurationOnDisk {
  readonly #folder = mkdtempSync(join(tmpdir(), "coatcheck-config-"));
  readonly path = join(this.#folder, "coatcheck.yaml");

  constructor(content: object | string) {
    this.write(content);
  }

  /** Replaces it at once, as a careful operator would. */
  write(content: object | string): void {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    writeFileSync(`${this.path}.new`, text);
    renameSync(`${this.path}.new`, this.path);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
