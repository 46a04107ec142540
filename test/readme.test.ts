import { startTestAuthority, type TestAuthority } from "@coatcheck/server/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { formatBanner } from "#server/banner.js";
import { readConfig } from "#server/config.js";

import { SnippetPackage, snippetsOf, type Snippet } from "./support/snippets.js";
import { filesUnder } from "./support/source-tree.js";

/*
 * What a newcomer pastes first has to work. Every block under a comment
 * `<!-- test: readme -->`, and the program of the banner, is compiled against the
 * sources and run to its end against a real authority. The address is the only
 * thing that is replaced.
 */

const DOCUMENTED_ADDRESS = "127.0.0.1:7443";
const TEST_MS = 60_000;

const banner = formatBanner({
  address: DOCUMENTED_ADDRESS,
  version: "0.0.0",
  config: readConfig({}),
  hasCallers: false,
  isColoured: false,
});
const snippets: readonly Snippet[] = [
  ...filesUnder(".", ".md").flatMap(snippetsOf),
  { place: "the banner", code: /# In a service:\n([\s\S]*?)\n\n/.exec(banner)?.[1] ?? "" },
];

let authority: TestAuthority;
let pasted: SnippetPackage;

beforeAll(async () => {
  authority = await startTestAuthority();
  pasted = packageOf(snippets);
});

afterAll(async () => {
  pasted[Symbol.dispose]();
  await authority.close();
});

function packageOf(some: readonly Snippet[]): SnippetPackage {
  return new SnippetPackage(
    some.map(({ place, code }) => ({
      place,
      code: code.replaceAll(DOCUMENTED_ADDRESS, authority.address),
    })),
  );
}

describe("a program to paste", () => {
  it("stands in each README that a newcomer meets, and in the banner", () => {
    const homes = new Set(snippets.map(({ place }) => place.replace(/:\d+$/, "")));

    expect([...homes]).toEqual(
      expect.arrayContaining(["README.md", "client/README.md", "server/README.md", "the banner"]),
    );
    expect(snippets.filter(({ code }) => code.trim() === "")).toEqual([]);
  });

  it(
    "compiles under the strict options",
    () => {
      const errors = pasted.typeErrors();

      const failures = snippets.flatMap(({ place }, index) =>
        (errors[index] ?? []).map((error) => `${place}, ${error}`),
      );
      expect(failures).toEqual([]);
    },
    TEST_MS,
  );

  it.for(snippets.map(({ place }, index) => ({ place, index })))(
    "runs to its end: $place",
    { timeout: TEST_MS },
    async ({ index }) => {
      const child = pasted.start(index);
      const { code } = await child.exited;

      expect(code, child.stderr).toBe(0);
    },
  );
});

describe("a program that does not work", () => {
  it(
    "is found out, by the compiler or by its end",
    async () => {
      using broken = packageOf([
        { place: "no such option", code: optionsWith("colour: 1") },
        { place: "throws", code: 'throw new Error("as it stands");' },
        { place: "waits for nothing", code: "await new Promise(() => undefined);" },
        { place: "TLS to a plaintext port", code: createWith("") },
      ]);

      const errors = broken.typeErrors();
      const exits = await Promise.all([1, 2, 3].map((index) => broken.start(index).exited));

      expect(errors.map((each) => each.length > 0)).toEqual([true, false, false, false]);
      expect(errors[0]?.join()).toContain("'colour' does not exist");
      expect(exits.map(({ code }) => code === 0)).toEqual([false, false, false]);
    },
    TEST_MS,
  );

  function optionsWith(option: string): string {
    return [
      'import { createSessionClient } from "@coatcheck/client";',
      `export const sessions = createSessionClient({ target: "${DOCUMENTED_ADDRESS}",`,
      `  tenantId: "acme", clientName: "orders", ${option} });`,
    ].join("\n");
  }

  function createWith(option: string): string {
    return `${optionsWith(option)}\nawait sessions.create({ subject: "ada" });`;
  }
});

describe("a document's blocks", () => {
  it("run where they are marked, a blank line between or not, and nowhere else", () => {
    const text = [
      ...["# Title", "", "```ts", "shown only", "```", ""],
      ...["<!-- test: readme -->", "", "```ts", "first();", "```", ""],
      ...["<!-- test: readme -->", "```ts", "second();", "```", ""],
    ].join("\n");

    expect(snippetsOf({ path: "a.md", text })).toEqual([
      { place: "a.md:9", code: "first();\n" },
      { place: "a.md:14", code: "second();\n" },
    ]);
  });
});
