import { describe, expect, it } from "vitest";

import { parsePeerNames } from "#server/callers/peer-names.js";

describe("parsePeerNames", () => {
  it("reads URIs and host names and leaves the rest", () => {
    expect(
      parsePeerNames(
        "URI:spiffe://example.org/login, DNS:Login.Example, IP Address:127.0.0.1, " +
          "IP Address:0:0:0:0:0:0:0:1, email:a@b.example, othername:<unsupported>",
      ),
    ).toEqual({ uris: ["spiffe://example.org/login"], dnsNames: ["login.example"] });
  });

  it.each([undefined, "", "garbage", "DNS:a.example, garbage", "DNS:a.example,URI:spiffe://x/y"])(
    "takes nobody's name from %j",
    (text) => {
      expect(parsePeerNames(text)).toEqual({ uris: [], dnsNames: [] });
    },
  );

  it.each([
    'DNS:"a.example\\", URI:spiffe://example.org/admin"',
    'URI:"spiffe://x/\\u0000", DNS:"b.example\\\\"',
    'DNS:"\\u212aube.example"',
  ])("reads a quoted name to its end and believes none of it: %j", (text) => {
    expect(parsePeerNames(`${text}, DNS:own.example`)).toEqual({
      uris: [],
      dnsNames: ["own.example"],
    });
  });

  it("takes a pattern and a repeated name as what they say", () => {
    expect(parsePeerNames("DNS:*.example, DNS:a.example, DNS:A.example")).toEqual({
      uris: [],
      dnsNames: ["*.example", "a.example", "a.example"],
    });
  });

  it("does not take one name for two (CVE-2021-44532)", () => {
    const names = parsePeerNames('DNS:"evil.example, URI:spiffe://example.org/admin"');

    expect(names).toEqual({ uris: [], dnsNames: [] });
  });
});
