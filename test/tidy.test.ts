// Style as a test: what is not tested decays. Each check lists its offences, so that a failure
// says where to go.

import { existsSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";

import { describe, expect, it } from "vitest";

import { ROOT } from "./support/child.js";
import {
  filesUnder,
  findAll,
  topLevelAwaits,
  undocumentedExports,
  type SourceFile,
} from "./support/source-tree.js";

const PRODUCT = ["client/src", "server/src"].flatMap((folder) => filesUnder(folder, ".ts"));
const CONTRACT = filesUnder("proto", ".ts", ".proto");
const LUA = filesUnder("server/lua", ".lua");
const TESTS = filesUnder("test", ".ts");
const TOOLS = ["scripts", "bench"].flatMap((folder) => filesUnder(folder, ".ts", ".mjs"));
const MARKDOWN = filesUnder(".", ".md");
const EVERYTHING = [...PRODUCT, ...CONTRACT, ...LUA, ...TESTS, ...TOOLS];

const THIS_FILE = "test/tidy.test.ts";

describe("the source", () => {
  it("documents every exported symbol", () => {
    const files = [...PRODUCT, ...CONTRACT].filter(({ path }) => path.endsWith(".ts"));

    expect(files.flatMap(undocumentedExports)).toEqual([]);
  });

  it("leaves nothing for later and skips no test", () => {
    const files = EVERYTHING.filter(({ path }) => path !== THIS_FILE);

    const leftovers = /\b(TODO|FIXME|XXX)\b|\b(it|test|describe)(\.\w+)*\.(only|skip|todo)\b/;

    expect(findAll(files, leftovers)).toEqual([]);
  });

  it("gives a reason wherever it silences a rule", () => {
    const files = EVERYTHING.filter(({ path }) => path !== THIS_FILE);

    expect(findAll(files, /eslint-disable(?!.* -- \S)|@ts-(ignore|nocheck|expect-error)/)).toEqual(
      [],
    );
  });

  it("reads the environment in one place", () => {
    const files = PRODUCT.filter(({ path }) => path !== "server/src/config.ts");

    // Handing the whole of it to a child process is not reading it.
    expect(findAll(files, /(?<!\.\.\.)process\.env\b|\.\.\.process\.env[.[]/)).toEqual([]);
  });

  it("waits for nothing while the client loads, so that CommonJS can require it", () => {
    const files = PRODUCT.filter(({ path }) => path.startsWith("client/"));

    expect(files.flatMap(topLevelAwaits)).toEqual([]);
  });
});

describe("the tests", () => {
  it("lie in a folder that a Vitest project runs", () => {
    const config = TESTS.find(({ path }) => path === "test/vitest.config.ts");
    const homes = [...(config?.text.matchAll(/"(\w+)\/\*\*\/\*\.test\.ts"/g) ?? [])].map(
      ([, folder]) => `test/${String(folder)}/`,
    );

    const homeless = TESTS.map(({ path }) => path)
      .filter((path) => path.endsWith(".test.ts"))
      .filter((path) => dirname(path) !== "test" && !homes.some((home) => path.startsWith(home)));

    expect(homes).not.toEqual([]);
    expect(homeless).toEqual([]);
  });

  it("have mutants whose text is found in the code, once", () => {
    const lost = filesUnder("test/mutants", ".json")
      .flatMap(({ text }) => JSON.parse(text) as { name: string; file: string; find: string }[])
      .filter(({ file, find }) => {
        const source = [...PRODUCT, ...LUA].find(({ path }) => path === file);
        return source?.text.split(find).length !== 2;
      });

    expect(lost.map(({ name }) => name)).toEqual([]);
  });
});

describe("the Lua scripts", () => {
  const scripts = LUA.filter(({ path }) => dirname(path) === "server/lua");
  const libraries = LUA.filter(({ path }) => dirname(path) === "server/lua/lib");
  const loaders = PRODUCT.filter(({ path }) => path.startsWith("server/src/store/redis/"));

  it("are each loaded, and each library is included", () => {
    const dead = [
      ...scripts.filter(
        ({ path }) => !loaders.some(({ text }) => text.includes(`"${basename(path, ".lua")}"`)),
      ),
      ...libraries.filter(
        ({ path }) => !LUA.some(({ text }) => text.includes(`-- @include lib/${basename(path)}\n`)),
      ),
    ];

    expect(dead.map(({ path }) => path)).toEqual([]);
  });

  it("begin with their flags at the first byte and name themselves", () => {
    const unnamed = scripts.filter(
      ({ path, text }) =>
        !new RegExp(`^#!lua( flags=[a-z,-]+)?\n-- ${basename(path, ".lua")}: `).test(text),
    );

    expect(unnamed.map(({ path }) => path)).toEqual([]);
  });

  it("declare in their header every key, argument and status they use", () => {
    expect(scripts.flatMap(undeclared)).toEqual([]);
  });

  /** What a script or its libraries use and its header does not name. */
  function undeclared(script: SourceFile): string[] {
    const header = headerOf(script.text);
    const body = flatten(script.text.slice(header.length)).replaceAll(/--.*$/gm, "");
    const inputs = [...body.matchAll(/\b(?:KEYS|ARGV)\[\d+\]/g)].map(([input]) => input);
    const statuses = [...body.matchAll(/return \{\s*['"]([A-Z][A-Z_]+)['"]/g)].map(
      ([, status]) => `"${String(status)}"`,
    );
    return [...new Set([...inputs, ...statuses])]
      .filter((used) => !header.includes(used) && !inDeclaredRange(header, used))
      .map((used) => `${script.path}: ${used}`);
  }

  /** A header may declare several at once: `ARGV[1…3]`, or from the second on, `KEYS[2…]`. */
  function inDeclaredRange(header: string, used: string): boolean {
    const [, name, index] = /^(KEYS|ARGV)\[(\d+)\]$/.exec(used) ?? [];
    return [...header.matchAll(/\b(KEYS|ARGV)\[(\d+)…(\d*)\]/g)].some(
      ([, declared, first, last]) =>
        declared === name &&
        Number(index) >= Number(first) &&
        (last === "" || Number(index) <= Number(last)),
    );
  }

  /** The first block of comment lines. */
  function headerOf(text: string): string {
    return /^(#!.*\n)?(--.*\n)+/.exec(text)?.[0] ?? "";
  }

  function flatten(text: string): string {
    return text.replaceAll(/^-- @include (lib\/[a-z_]+\.lua)$/gm, (_line, path: string) => {
      const library = libraries.find((each) => each.path === `server/lua/${path}`);
      return library?.text ?? "";
    });
  }
});

describe("the documents", () => {
  it("link to files and headings that exist", () => {
    expect(MARKDOWN.flatMap(brokenLinks)).toEqual([]);
  });

  it("name every environment variable the server knows", () => {
    expect(missingFromServerReadme(/\bCOATCHECK_[A-Z_]*[A-Z]\b/g)).toEqual([]);
  });

  it("name every metric the server records", () => {
    expect(missingFromServerReadme(/(?<=["'`])coatcheck_[a-z0-9_]+(?=["'`])/g)).toEqual([]);
  });

  function missingFromServerReadme(pattern: RegExp): string[] {
    const readme = MARKDOWN.find(({ path }) => path === "server/README.md")?.text ?? "";
    const server = PRODUCT.filter(({ path }) => path.startsWith("server/"));
    const names = server.flatMap(({ text }) => text.match(pattern) ?? []);
    return [...new Set(names)].filter((name) => !readme.includes(`\`${name}`)).sort();
  }

  function brokenLinks({ path, text }: SourceFile): string[] {
    const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
    return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => String(link))
      .filter((link) => !/^[a-z]+:/.test(link) && !resolves(path, link))
      .map((link) => `${path}: ${link}`);
  }

  function resolves(from: string, link: string): boolean {
    const [file = "", anchor] = link.split("#", 2);
    const target = file === "" ? from : normalize(join(dirname(from), file));
    if (!existsSync(join(ROOT, target))) return false;
    if (anchor === undefined || !target.endsWith(".md")) return true;
    const document = MARKDOWN.find(({ path }) => path === target);
    return document === undefined || headingsOf(document.text).includes(anchor);
  }

  /** The anchors that GitHub makes of a document's headings. */
  function headingsOf(text: string): string[] {
    return [...text.matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading]) =>
      String(heading)
        .trim()
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(/\s/g, "-"),
    );
  }
});
