import { readFileSync, statSync } from "node:fs";

/** A file that was not read. `why` fits after "it": "cannot be read (ENOENT)". It quotes nothing. */
export class UnreadableFileError extends Error {
  override readonly name = "UnreadableFileError";
  readonly why: string;

  constructor(path: string, why: string) {
    super(`Cannot read ${path}: it ${why}`);
    this.why = why;
  }
}

/**
 * Reads a file that a person has named, if it is one and no larger than it can be.
 *
 * It is read by a process that serves: a pipe would have it wait for a writer that
 * never comes, and a large file named by mistake would fill its memory. Throws an
 * `UnreadableFileError`.
 */
export function readSmallFile(path: string, bytesMax: number): Buffer {
  try {
    const file = statSync(path);
    if (!file.isFile()) {
      throw new UnreadableFileError(path, "must be a regular file");
    }
    if (file.size > bytesMax) {
      throw new UnreadableFileError(
        path,
        `has ${file.size} bytes and must have at most ${bytesMax}`,
      );
    }
    return readFileSync(path);
  } catch (error) {
    if (error instanceof UnreadableFileError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new UnreadableFileError(path, `cannot be read (${code})`);
  }
}
