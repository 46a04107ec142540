import type { Log } from "../base/log.js";
import { LiveFile } from "./live-file.js";
import type { PolicyOverrides } from "./policies.js";
import { buildSettings, defaultSettings, type Settings } from "./settings.js";

/** The settings as they are now, wherever they come from. */
export interface LiveSettings {
  readonly current: Settings;
  /** Follows the file, where there is one. */
  start(): void;
  stop(): void;
  /** Reads the file again. Never throws: a file with a mistake changes nothing. */
  reload(): void;
}

/** Where settings come from. */
export interface SettingsSource {
  /** The configuration file; undefined: there is none. */
  readonly path: string | undefined;
  /** The policies without a file. */
  readonly policies: PolicyOverrides;
  /** Told when there are new settings, before anything else can happen. */
  readonly onChange?: () => void;
  readonly log: Log;
}

/** Reads the settings. Throws where the file cannot be used. */
export function openSettings(source: SettingsSource): LiveSettings {
  const { path, policies, log, onChange } = source;
  if (path !== undefined) {
    return new LiveFile({ path, build: buildSettings, log, onChange });
  }
  return {
    current: defaultSettings(policies),
    start: ignore,
    stop: ignore,
    reload: ignore,
  };
}

function ignore(): void {
  // There is no file to follow.
}
