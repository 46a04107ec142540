import { spawnSync } from "node:child_process";
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
import { tmpdir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";

import { ROOT } from "../support/child.js";

/*
 * Does each guard have a test that fails without it (S-56)? Every mutant in
 * `*-mutants.json` takes one guard out of a copy of the tree and runs the tests
 * that claim to need it. A mutant that no test notices is a failure, and so is a
 * test that is red before anything was taken out.
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

interface Verdict {
  readonly failed: number;
  readonly firstFailure: string;
}

interface VitestReport {
  readonly numFailedTests: number;
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

const WORKSPACES = ["proto", "client", "server"];
const COPIED = [...WORKSPACES, "test", "package.json", "tsconfig.json"];

function main(only: string | undefined): number {
  const mutants = loadMutants().filter(({ name }) => only === undefined || name.includes(only));
  const tree = copyTree();
  try {
    const tests = [...new Set(mutants.flatMap((mutant) => mutant.tests))].sort();
    const untouched = runTests(tree, tests);
    if (untouched.failed > 0) {
      print(`Red before any mutation: ${untouched.firstFailure}`);
      return 1;
    }
    print(`${String(tests.length)} test files are green on the untouched tree\n`);
    const survivors = mutants.filter((mutant) => !isKilled(tree, mutant));
    print(`\n${String(mutants.length - survivors.length)} of ${String(mutants.length)} killed`);
    return survivors.length === 0 ? 0 : 1;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function loadMutants(): Mutant[] {
  const folder = join(ROOT, "test/mutants");
  return readdirSync(folder)
    .filter((file) => file.endsWith("-mutants.json"))
    .sort()
    .flatMap((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as Mutant[]);
}

function isKilled(tree: string, mutant: Mutant): boolean {
  const path = join(tree, mutant.file);
  const source = readFileSync(path, "utf8");
  if (source.split(mutant.find).length !== 2) {
    throw new Error(
      `Cannot make the mutant "${mutant.name}": its text must occur exactly once in ${mutant.file}`,
    );
  }
  writeFileSync(
    path,
    source.replace(mutant.find, () => mutant.replace),
  );
  try {
    const { failed, firstFailure } = runTests(tree, mutant.tests);
    const verdict = failed > 0 ? styleText("green", "killed  ") : styleText("red", "SURVIVED");
    print(`${verdict}  ${mutant.name.padEnd(52)}  ${failed > 0 ? firstFailure : ""}`);
    return failed > 0;
  } finally {
    writeFileSync(path, source);
  }
}

function runTests(tree: string, tests: readonly string[]): Verdict {
  const reportFile = join(tree, "report.json");
  rmSync(reportFile, { force: true });
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const { stderr } = spawnSync(
    process.execPath,
    [
      ...["--conditions=@coatcheck/source", vitest, "run", "--config", "test/vitest.config.ts"],
      ...["--reporter=json", `--outputFile=${reportFile}`, ...tests],
    ],
    { cwd: tree, encoding: "utf8", env: { ...process.env, COATCHECK_MUTANTS: undefined } },
  );
  return readReport(reportFile, stderr);
}

function readReport(reportFile: string, stderr: string): Verdict {
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(reportFile, "utf8")) as VitestReport;
  } catch {
    throw new Error(`The tests did not run:\n${stderr}`);
  }
  if (report.numPassedTests + report.numFailedTests === 0) {
    // A mutant that does not even load proves nothing about the tests.
    const [file] = report.testResults;
    throw new Error(`No test ran: ${file?.message ?? stderr}`);
  }
  const titles = report.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === "failed")
    .map(({ title }) => title);
  return { failed: titles.length, firstFailure: titles[0] ?? "" };
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

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exitCode = main(process.argv[2]);
