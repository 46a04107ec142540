import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { FILE_BYTES_MAX, parseConfiguration } from "#server/configuration/read-file.js";
import { toPolicyOverride } from "#server/configuration/schema.js";
import { buildSettings } from "#server/configuration/settings.js";

const HASH = `sha256:${"a".repeat(64)}`;

const COMPLETE = `
policies:
  web:
    idle_timeout: 20m
    absolute_timeout: 8h
    touch_interval: 30s
    rotation_grace: 10s
    max_sessions_per_subject: 5
    limit_action: deny
    recovery_window: 1h
    retention: 1d
    binding: { ip_address: off, user_agent: warn, device_id: enforce }
tenants:
  - id: acme
    policies: [web, default]
    max_live_sessions: 100000
callers:
  - name: login
    roles: [issuer, revoker]
    tenants: [acme]
    uris: ["spiffe://example.org/login"]
    dns_names: [login.example]
    service_key_hashes: ["${HASH}"]
  - name: operators
    roles: [admin]
    tenants: "*"
    dns_names: [ops.example]
`;

function refusal(text: string): string {
  try {
    parseConfiguration(text);
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
  throw new Error("It was accepted");
}

describe("a configuration file", () => {
  it("says policies, tenants and callers", () => {
    const file = parseConfiguration(COMPLETE);

    expect(file.policies["web"] && toPolicyOverride(file.policies["web"])).toEqual({
      idleTimeoutMs: 1_200_000,
      absoluteTimeoutMs: 28_800_000,
      touchIntervalMs: 30_000,
      rotationGraceMs: 10_000,
      maxSessionsPerSubject: 5,
      limitAction: "deny",
      recoveryWindowMs: 3_600_000,
      retentionMs: 86_400_000,
      binding: { ipAddress: "off", userAgent: "warn", deviceId: "enforce" },
    });
    expect(file.tenants).toEqual([
      { id: "acme", policies: ["web", "default"], max_live_sessions: 100_000 },
    ]);
    expect(file.callers?.map(({ name, tenants }) => [name, tenants])).toEqual([
      ["login", ["acme"]],
      ["operators", "*"],
    ]);
  });

  it("is what server/README.md shows", () => {
    const readme = readFileSync(new URL("../../../../server/README.md", import.meta.url), "utf8");
    const [, example = ""] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];

    const { policies, callers } = parseConfiguration(example.replace("sha256:…", HASH));

    expect(policies["web"]?.binding).toEqual({
      ip_address: "off",
      user_agent: "warn",
      device_id: "enforce",
    });
    expect(callers?.map(({ name }) => name)).toEqual(["login", "edge"]);
  });

  it("may be empty", () => {
    expect(parseConfiguration("")).toMatchObject({ policies: {}, tenants: [] });
    expect(parseConfiguration("").callers).toBeUndefined();
  });

  it("leaves to the default what a policy does not say", () => {
    const file = parseConfiguration("policies: { short: { idle_timeout: 1m } }");

    const policy = buildSettings(file, undefined).policies.get("short");

    expect(policy).toMatchObject({ idleTimeoutMs: 60_000, absoluteTimeoutMs: 43_200_000 });
  });

  function caller(rest: string): string {
    return `callers: [{ name: a, roles: [issuer], tenants: "*", ${rest} }]`;
  }

  it.each([
    ["polices: {}", "polices: there is no such key"],
    ["policies: { web: { idle: 1m } }", "policies.web.idle: there is no such key"],
    [
      "policies: { web: { idle_timeout: 30 } }",
      "policies.web.idle_timeout is 30: it must be a duration like 30s or 12h from 1s to 400d, " +
        "or 0s for none",
    ],
    [
      "policies: { web: { idle_timeout: 500ms } }",
      'policies.web.idle_timeout is "500ms": it must be a duration like 30s',
    ],
    ["policies: { web: { absolute_timeout: 401d } }", 'is "401d": it must be'],
    ["policies: { web: { absolute_timeout: 0s } }", 'is "0s": it must be'],
    ["policies: { web: { rotation_grace: 11m } }", "from 0s to 10m"],
    ["policies: { web: { retention: 9m } }", "from 10m to 30d"],
    [
      "policies: { web: { max_sessions_per_subject: 501 } }",
      "policies.web.max_sessions_per_subject is 501: it must be a whole number from 0 to 500",
    ],
    ["policies: { web: { max_sessions_per_subject: 1.5 } }", "is 1.5: it must be a whole number"],
    [
      "policies: { web: { limit_action: kill } }",
      'policies.web.limit_action is "kill": it must be one of deny, evict-oldest',
    ],
    ["policies: { web: { binding: { ip_address: yes } } }", "it must be one of off, warn, enforce"],
    ['policies: { "a b": {} }', "policies.a b: the key must be 1 to 64 of A-Z a-z 0-9 _ . -"],
    [
      "tenants: [{ id: acme, policies: [web] }]",
      'tenants[0].policies is "web": it must be one of the policies, default',
    ],
    ["tenants: [{ id: acme }, { id: acme }]", 'tenants.id is "acme": it must be named once'],
    ["tenants: [{ policies: [default] }]", "tenants[0].id is missing: it must be 1 to 128 bytes"],
    ["callers: []", "callers: it must be at least 1 of them"],
    [
      'callers: [{ name: a, roles: [isuer], tenants: "*", dns_names: [a.example] }]',
      'callers[0].roles[0] is "isuer": it must be one of issuer, validator, revoker, auditor, admin',
    ],
    ['callers: [{ name: a, roles: [], tenants: "*", dns_names: [a.example] }]', "at least 1"],
    [
      "callers: [{ name: a, roles: [issuer], tenants: acme, dns_names: [a.example] }]",
      'callers[0].tenants is "acme": it must be "*", or a list of 1 to 64 tenant ids',
    ],
    [
      "callers: [{ name: a, roles: [issuer], dns_names: [a.example] }]",
      "callers[0].tenants is missing",
    ],
    [caller(""), 'callers[0] is "a": it must be known by one of uris, dns_names'],
    [
      caller("dns_names: ['*.example']"),
      "it must be a host name in lower case, without a wildcard",
    ],
    [caller("uris: [login]"), 'callers[0].uris[0] is "login": it must be a URI'],
    ["a: [", "line 1 is not YAML"],
    ["policies: {}\npolicies: {}", "line 2 repeats a key of its map"],
    ["policies: { 1: {}, '1': {} }", "line 1 repeats a key of its map"],
    ["policies:\n  __proto__: { idle_timeout: 1m }", "line 2 has __proto__ as a key"],
    ["a: &a {}\npolicies: { web: { <<: *a } }", "there is no such key"],
    ["policies: {}\n---\npolicies: {}", "line 2 is not YAML (MULTIPLE_DOCS)"],
    ["policies: !!js/function x", "line 1 is not YAML (TAG_RESOLVE_FAILED)"],
    ["policies: {}\u0000", "line 1 is not YAML"],
    [`a: ${"[".repeat(10_000)}`, "line 1 is not YAML (RESOURCE_EXHAUSTION)"],
    ['tenants: [{ id: "a\\ud800" }]', "it must be 1 to 128 bytes of UTF-8"],
    ['tenants: [{ id: "a\\ufffd" }]', "it must be 1 to 128 bytes of UTF-8"],
    ['tenants: [{ id: "" }]', "it must be 1 to 128 bytes of UTF-8"],
    ["- a", "the file: it must be an object"],
  ])("with %j is refused by key, value and bound", (text, message) => {
    expect(refusal(text)).toContain(message);
  });

  it("with a name, identity or key of two callers is refused", () => {
    function entry(name: string, identity: string): string {
      return `{ name: ${name}, roles: [issuer], tenants: "*", ${identity} }`;
    }
    function pair(one: string, other: string): string {
      return `callers: [${one}, ${other}]`;
    }

    const dns = "dns_names: [a.example]";
    expect(refusal(pair(entry("a", dns), entry("a", "dns_names: [b.example]")))).toContain(
      'callers.name is "a": it must be named once in the file',
    );
    expect(refusal(pair(entry("a", dns), entry("b", dns)))).toContain("callers.dns_names");
    const key = `service_key_hashes: ["${HASH}"]`;
    const shared = refusal(pair(entry("a", key), entry("b", key)));
    expect(shared).toContain("callers.service_key_hashes: it must be named once");
    expect(shared).not.toContain("aaaa");
  });

  it("never quotes what stands where the hash of a key should (S-46)", () => {
    const message = refusal(caller("service_key_hashes: [hunter2-the-key-itself]"));

    expect(message).toContain("callers[0].service_key_hashes[0]: it must be sha256: and 64");
    expect(message).not.toContain("hunter2");
  });

  it("larger than any configuration, or that unfolds into one, is refused", () => {
    const bomb = ["a: &a [x, x, x, x, x, x, x, x]"];
    for (let depth = 0; depth < 8; depth += 1) {
      bomb.push(
        `a${depth}: &a${depth} [${Array(8)
          .fill(`*a${depth === 0 ? "" : depth - 1}`)
          .join(", ")}]`,
      );
    }

    expect(refusal(`#${"x".repeat(FILE_BYTES_MAX)}`)).toContain("at most");
    expect(refusal(bomb.join("\n"))).toContain("aliases");
  });

  it("has at most 1,000 policies", () => {
    const policies = Array.from({ length: 1001 }, (_, index) => `p${index}: {}`);

    expect(refusal(`policies: { ${policies.join(", ")} }`)).toContain(
      "policies: it must be at most 1000 of them",
    );
    expect(() => parseConfiguration(`policies: { ${policies.slice(1).join(", ")} }`)).not.toThrow();
  });

  it("without callers is refused to a process that has them", () => {
    const before = buildSettings(parseConfiguration(COMPLETE), undefined);

    expect(() => buildSettings(parseConfiguration(""), before)).toThrow("callers is missing");
  });
});
