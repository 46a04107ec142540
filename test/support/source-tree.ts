import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import ts from "typescript";

import { ROOT } from "./child.js";

const SKIPPED_FOLDERS = new Set(["node_modules", "dist", ".git", "gen", "google", "results"]);

/** A text file of the repository. */
export interface SourceFile {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
}

/** Every hand-written file under `folder` whose name ends with one of `endings`. */
export function filesUnder(folder: string, ...endings: readonly string[]): SourceFile[] {
  return pathsUnder(folder)
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

function pathsUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED_FOLDERS.has(entry.name) ? [] : pathsUnder(path);
    return entry.isFile() ? [path] : [];
  });
}

/** `path:line`, with what stands there, for every match of `pattern`. */
export function findAll(files: readonly SourceFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
}

/** The exported declarations without a doc comment, as `path:line: name`. */
export function undocumentedExports(file: SourceFile): string[] {
  const source = parse(file);
  return source.statements
    .filter((statement) => isExported(statement) && !hasDoc(source, statement))
    .filter((statement) => !isRepeatedOverload(source, statement))
    .map((statement) => `${file.path}:${lineOf(source, statement)}: ${nameOf(statement)}`);
}

/** The places where a module waits while it is loaded, as `path:line`. */
export function topLevelAwaits(file: SourceFile): string[] {
  const source = parse(file);
  const found: string[] = [];
  function visit(node: ts.Node): void {
    if (ts.isFunctionLike(node)) return;
    const waits =
      ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined);
    if (waits) found.push(`${file.path}:${lineOf(source, node)}`);
    ts.forEachChild(node, visit);
  }
  visit(source);
  return found;
}

function parse({ path, text }: SourceFile): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
}

function isExported(statement: ts.Statement): boolean {
  return (
    ts.canHaveModifiers(statement) &&
    (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
  );
}

function hasDoc(source: ts.SourceFile, statement: ts.Statement): boolean {
  const comments = ts.getLeadingCommentRanges(source.text, statement.getFullStart()) ?? [];
  const last = comments.at(-1);
  return last !== undefined && source.text.startsWith("/**", last.pos);
}

/** A const object and its type share a name, and overloads do too: one comment is enough. */
function isRepeatedOverload(source: ts.SourceFile, statement: ts.Statement): boolean {
  return source.statements.some(
    (other) =>
      other.pos < statement.pos &&
      isExported(other) &&
      nameOf(other) === nameOf(statement) &&
      hasDoc(source, other),
  );
}

function nameOf(statement: ts.Statement): string {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText()).join(", ");
  }
  const { name } = statement as { name?: ts.Node };
  return name?.getText() ?? "(unnamed)";
}

function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
}
