import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import ts from "typescript";

import { ROOT, startChild, type Child } from "./child.js";
import type { SourceFile } from "./source-tree.js";

/** A program that a document tells its reader to paste. */
export interface Snippet {
  /** Where it stands, as `path:line`. */
  readonly place: string;
  readonly code: string;
}

const MARKED = /^<!-- test: readme -->\n\n?```ts\n([\s\S]*?)^```$/gm;

/** The TypeScript blocks of a document that say they run as they stand. */
export function snippetsOf({ path, text }: SourceFile): Snippet[] {
  return [...text.matchAll(MARKED)].map(({ 0: block, 1: code = "", index }) => {
    const line = text.slice(0, index + block.indexOf("```")).split("\n").length;
    return { place: `${path}:${line}`, code };
  });
}

/**
 * A package in a temporary folder that depends on the workspaces, as a reader's would. Each
 * snippet is a module of it.
 */
export class SnippetPackage implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "coatcheck-snippets-"));
  readonly #files: readonly string[];
  readonly #children: Child[] = [];

  constructor(snippets: readonly Snippet[]) {
    symlinkSync(join(ROOT, "node_modules"), join(this.#folder, "node_modules"));
    writeFileSync(join(this.#folder, "package.json"), '{ "type": "module" }');
    this.#files = snippets.map(({ code }, index) => {
      const file = join(this.#folder, `snippet-${index}.ts`);
      // Without it a snippet that imports nothing would be a script.
      writeFileSync(file, `${code}\nexport {};\n`);
      return file;
    });
  }

  /** What the compiler says of each snippet, with the strictness of our own sources. */
  typeErrors(): string[][] {
    const config = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path));
    const { compilerOptions } = config.config as { compilerOptions: Record<string, unknown> };
    const { options, errors } = ts.convertCompilerOptionsFromJson(
      // A snippet may name what the prose around it goes on with.
      { ...compilerOptions, composite: false, noEmit: true, noUnusedLocals: false },
      this.#folder,
    );
    if (errors.length > 0) throw new Error(errors.map(messageOf).join("\n"));
    const program = ts.createProgram(this.#files, options);
    return this.#files.map((path) => {
      const file = program.getSourceFile(path);
      return [
        ...program.getSyntacticDiagnostics(file),
        ...program.getSemanticDiagnostics(file),
      ].map(messageOf);
    });
  }

  /** Starts a snippet as a process of its own. */
  start(index: number): Child {
    const child = startChild(this.#files[index] ?? `There is no snippet ${index}`);
    this.#children.push(child);
    return child;
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill().catch(() => undefined);
    rmSync(this.#folder, { recursive: true });
  }
}

function messageOf({ messageText, file, start = 0 }: ts.Diagnostic): string {
  const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1;
  return `line ${line}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
}
