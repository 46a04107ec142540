import { spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";

import { acquireRedis } from "../support/acquire-redis.js";
import { ROOT } from "../support/child.js";

/*
 * Does each guard have a test that fails without it (S-56)? Every mutant in
 * `*-mutants.json` takes one guard out of a copy of the tree and runs the tests
 * that claim to need it. A mutant that no test notices is a failure. So is a test
 * that is red before anything was taken out, and a mutant under which every test
 * is red: code that does not run proves nothing about the tests.
 *
 * Two copies are worked on at a time, and all runs share one Redis, each test in
 * a namespace of its own as always.
 */

interface Mutant {
  readonly name: string;
  /** From the repository's root. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Test files, from the repository's root. */
  readonly tests: readonly string[];
}

/** A run of tests in one copy of the tree. */
interface Run {
  readonly tree: string;
  readonly tests: readonly string[];
  readonly redisUrl: string | undefined;
  readonly msMax: number;
  /** More options of vitest. */
  readonly options?: readonly string[];
}

/** What a run of tests came to. */
interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** The titles of the failed tests, in the order of the files. */
  readonly titles: readonly string[];
}

type Verdict =
  | { readonly kind: "killed"; readonly by: readonly string[] }
  | { readonly kind: "survived" }
  /** The mutant cannot be made or does not run, and why. */
  | { readonly kind: "broken"; readonly why: string };

interface VitestReport {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

const WORKSPACES = ["proto", "client", "server"];
const COPIED = [...WORKSPACES, "test", "package.json", "tsconfig.json"];
const WORKERS = Math.min(2, availableParallelism());
/** The slowest test file takes a quarter of this. A mutant that hangs the tests is noticed by them. */
const MUTANT_MS_MAX = 120_000;
/** All test files that any mutant names, one after the other on a slow machine. */
const UNTOUCHED_MS_MAX = 900_000;
/** One red test is enough, unless it is the very first: then others have to show that they run. */
const FIRST_FAILURE = ["--bail=1"];
const MUTANTS_FOLDER = join(ROOT, "test/mutants");
const NAME_WIDTH = 56;
const FILE_WIDTH = 40;

async function main(only: string | undefined): Promise<number> {
  const mutants = loadMutants().filter(({ name }) => only === undefined || name.includes(only));
  if (mutants.length === 0) {
    print(`No mutant has "${only ?? ""}" in its name`);
    return 1;
  }
  const tests = [...new Set(mutants.flatMap((mutant) => mutant.tests))].sort();
  const redis = tests.some((file) => /^test\/(contract|redis|fault)\//.test(file))
    ? await acquireRedis()
    : undefined;
  const trees = Array.from({ length: Math.min(WORKERS, mutants.length) }, copyTree);
  try {
    const [tree = ""] = trees;
    const untouched = await runTests({
      tree,
      tests,
      redisUrl: redis?.url,
      msMax: UNTOUCHED_MS_MAX,
    });
    if (untouched.failed > 0) {
      print(`Red before any mutation: ${untouched.titles.join("; ")}`);
      return 1;
    }
    print(
      `${tests.length} test files are green on the untouched tree (${untouched.passed} tests)\n`,
    );
    return await killAll(mutants, trees, redis?.url);
  } finally {
    for (const tree of trees) rmSync(tree, { recursive: true, force: true });
    await redis?.release();
  }
}

/** Every mutant, on as many trees as there are. Returns the exit code. */
async function killAll(
  mutants: readonly Mutant[],
  trees: readonly string[],
  redisUrl: string | undefined,
): Promise<number> {
  print(`          ${"mutant".padEnd(NAME_WIDTH)}  ${"file".padEnd(FILE_WIDTH)}  killed by`);
  const waiting = [...mutants];
  const left: Mutant[] = [];
  async function work(tree: string): Promise<void> {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const verdict = await judge(tree, mutant, redisUrl);
      print(row(mutant, verdict));
      if (verdict.kind !== "killed") left.push(mutant);
    }
  }
  await Promise.all(trees.map(work));
  print(`\n${mutants.length - left.length} of ${mutants.length} killed`);
  return left.length === 0 ? 0 : 1;
}

function loadMutants(): readonly Mutant[] {
  const mutants = readdirSync(MUTANTS_FOLDER)
    .filter((file) => file.endsWith("-mutants.json"))
    .sort()
    .flatMap((file) => JSON.parse(readFileSync(join(MUTANTS_FOLDER, file), "utf8")) as Mutant[]);
  const twice = mutants.find(({ name }, at) => mutants.slice(0, at).some((m) => m.name === name));
  if (twice !== undefined) throw new Error(`Two mutants have the name "${twice.name}"`);
  return mutants;
}

async function judge(tree: string, mutant: Mutant, redisUrl: string | undefined): Promise<Verdict> {
  const path = join(tree, mutant.file);
  const source = readFileSync(path, "utf8");
  const places = source.split(mutant.find).length - 1;
  if (places !== 1) {
    return { kind: "broken", why: `its text occurs ${places} times in the file, not once` };
  }
  writeFileSync(
    path,
    source.replace(mutant.find, () => mutant.replace),
  );
  try {
    const run = { tree, tests: mutant.tests, redisUrl, msMax: MUTANT_MS_MAX };
    const quick = await runTests({ ...run, options: FIRST_FAILURE });
    if (quick.failed === 0) return { kind: "survived" };
    const { passed, titles } = quick.passed > 0 ? quick : await runTests(run);
    return passed > 0
      ? { kind: "killed", by: titles }
      : { kind: "broken", why: `every test is red: ${titles[0] ?? ""}` };
  } finally {
    writeFileSync(path, source);
  }
}

async function runTests(run: Run): Promise<Outcome> {
  const reportFile = join(run.tree, "report.json");
  rmSync(reportFile, { force: true });
  const stderr = await runVitest(run, reportFile);
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(reportFile, "utf8")) as VitestReport;
  } catch {
    return { passed: 0, failed: 1, titles: [lastLine(stderr) ?? "the tests did not run"] };
  }
  const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const titles = results.filter(({ status }) => status === "failed").map(({ title }) => title);
  const passed = results.filter(({ status }) => status === "passed").length;
  // A file that cannot be loaded has a message and no results.
  const unloaded = report.testResults.filter(
    ({ assertionResults, message }) => assertionResults.length === 0 && message !== "",
  );
  return {
    passed,
    failed: titles.length + unloaded.length,
    titles: [...titles, ...unloaded.map(({ message }) => message)],
  };
}

/** Runs vitest in a tree to its end and returns what it wrote to stderr. */
async function runVitest(
  { tree, tests, redisUrl, msMax, options = [] }: Run,
  reportFile: string,
): Promise<string> {
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const child = spawn(
    process.execPath,
    [
      ...["--conditions=@coatcheck/source", vitest, "run", "--config", "test/vitest.config.ts"],
      ...["--reporter=json", `--outputFile=${reportFile}`, ...options, ...tests],
    ],
    {
      cwd: tree,
      env: { ...process.env, COATCHECK_TEST_REDIS_URL: redisUrl },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: msMax,
      killSignal: "SIGKILL",
    },
  );
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-10_000);
  });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (_, signal) => {
      resolve(signal === null ? stderr : `no end within ${msMax / 1000} s`);
    });
  });
}

/** A copy whose own workspaces stand where `@coatcheck/*` is looked up. */
function copyTree(): string {
  const tree = mkdtempSync(join(tmpdir(), "coatcheck-mutants-"));
  for (const name of COPIED) {
    cpSync(join(ROOT, name), join(tree, name), {
      recursive: true,
      filter: (source) => !/\/(node_modules|dist)$/.test(source),
    });
  }
  linkModules(join(ROOT, "node_modules"), join(tree, "node_modules"));
  for (const workspace of WORKSPACES) {
    linkModules(join(ROOT, workspace, "node_modules"), join(tree, workspace, "node_modules"));
  }
  mkdirSync(join(tree, "node_modules/@coatcheck"));
  for (const workspace of WORKSPACES) {
    symlinkSync(join(tree, workspace), join(tree, "node_modules/@coatcheck", workspace));
  }
  return tree;
}

function linkModules(from: string, to: string): void {
  let names: string[];
  try {
    names = readdirSync(from);
  } catch {
    return; // A workspace without modules of its own.
  }
  mkdirSync(to);
  for (const name of names) {
    if (name !== "@coatcheck" && name !== ".vite" && name !== ".vite-temp") {
      symlinkSync(join(from, name), join(to, name));
    }
  }
}

function row(mutant: Mutant, verdict: Verdict): string {
  const file = mutant.file.replace(/^(client|server)\/(src\/)?/, "$1/");
  const columns = `${mutant.name.padEnd(NAME_WIDTH)}  ${file.padEnd(FILE_WIDTH)}`;
  switch (verdict.kind) {
    case "killed": {
      const [first = "", ...more] = verdict.by;
      const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
      return `${styleText("green", "killed  ")}  ${columns}  ${first}${others}`;
    }
    case "survived":
      return `${styleText("red", "SURVIVED")}  ${columns}`;
    case "broken":
      return `${styleText("red", "BROKEN  ")}  ${columns}  ${verdict.why}`;
  }
}

function lastLine(text: string): string | undefined {
  return text.trim().split("\n").at(-1);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exitCode = await main(process.argv[2]);
