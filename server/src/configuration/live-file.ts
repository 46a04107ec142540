import { type FileWatch, watchFiles } from "../base/file-watch.js";
import type { Log } from "../base/log.js";
import { readSmallFile, UnreadableFileError } from "../base/small-file.js";
import { ConfigurationError, FILE_BYTES_MAX, parseConfiguration } from "./read-file.js";
import type { ConfigurationFile } from "./schema.js";

/** How a configuration file becomes what the process runs by. */
export interface LiveFileOptions<Settings> {
  readonly path: string;
  /** Makes the settings, whole. What it throws refuses the file. */
  readonly build: (file: ConfigurationFile, before: Settings | undefined) => Settings;
  /** Told when there are new settings, before anything else can happen. */
  readonly onChange?: (() => void) | undefined;
  readonly log: Log;
}

/** How often the file is looked at. An operator who cannot wait sends SIGHUP. */
const LOOK_MS = 1000;

/**
 * What one configuration file says, now.
 *
 * A change replaces all of it at once or nothing: a file with a mistake leaves the
 * process as it was, and says so in one line. Whoever needs a setting asks for
 * `current` each time, and keeps no part of it over an `await` that it compares
 * with another.
 */
export class LiveFile<Settings> {
  readonly #options: LiveFileOptions<Settings>;
  #current: Settings;
  /** What was last tried, taken or refused, so that nothing is said of it twice. */
  #tried: string;
  #watch: FileWatch | undefined;

  /** Reads the file. Throws a `ConfigurationError` where it cannot be used. */
  constructor(options: LiveFileOptions<Settings>) {
    this.#options = options;
    this.#tried = readText(options.path);
    this.#current = this.#build(this.#tried, undefined);
  }

  /** What the file said when it last made sense. */
  get current(): Settings {
    return this.#current;
  }

  /** Follows the file from now on. */
  start(): void {
    this.#watch ??= watchFiles([this.#options.path], LOOK_MS, () => {
      this.reload();
    });
    // It may have changed since it was read.
    this.reload();
  }

  /** Follows it no more. */
  stop(): void {
    this.#watch?.stop();
  }

  /** Reads the file again, where it has changed. Never throws. */
  reload(): void {
    const { log, onChange, path } = this.#options;
    try {
      const text = readText(path);
      if (text === this.#tried) return;
      this.#tried = text;
      // An editor that writes in place begins with this, and it would be the default of everything.
      if (text.trim() === "") throw new ConfigurationError(`Cannot use ${path}: it is empty`);
      this.#current = this.#build(text, this.#current);
      onChange?.();
      log.info({ path }, "the configuration was reloaded");
    } catch (error) {
      const why = error instanceof ConfigurationError ? error.message : "it cannot be used";
      log.error({ path, why }, "the configuration stays as it was: the file was refused");
    }
  }

  #build(text: string, before: Settings | undefined): Settings {
    const { build, path } = this.#options;
    try {
      return build(parseConfiguration(text), before);
    } catch (error) {
      if (!(error instanceof ConfigurationError || error instanceof RangeError)) throw error;
      throw new ConfigurationError(`Cannot use ${path}: ${error.message}`);
    }
  }
}

function readText(path: string): string {
  try {
    return readSmallFile(path, FILE_BYTES_MAX).toString("utf8");
  } catch (error) {
    if (!(error instanceof UnreadableFileError)) throw error;
    throw new ConfigurationError(`Cannot use ${path}: it ${error.why}`);
  }
}
