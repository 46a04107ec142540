import { statSync } from "node:fs";

import { systemClock } from "./clock.js";

/** Stops watching. Stopping twice does nothing. */
export interface FileWatch {
  stop(): void;
}

/** How long files must have been left alone before they are read. */
const SETTLE_MS = 250;

/**
 * Says when one of some files has changed, by looking at them every so often.
 *
 * Notices of the operating system are quicker, but they follow an inode: a file
 * that is replaced by renaming, or a symbolic link that is turned, as Kubernetes
 * does with mounted secrets, is lost to them. Node's own `watchFile` forgets what
 * changes before its first look. Looking never keeps the process alive.
 *
 * A file that is written in place is empty or half of itself for a moment, and half
 * a list of callers is a list of callers. So a change is told of only when two looks
 * a quarter of a second apart have seen the same, and once for all of the files.
 */
export function watchFiles(
  paths: readonly string[],
  intervalMs: number,
  onChange: () => void,
): FileWatch {
  let told = stateOf(paths);
  let seen = told;
  let timer = systemClock.setTimer(intervalMs, look);

  function look(): void {
    const now = stateOf(paths);
    const isSettled = now === seen;
    const isNews = isSettled && now !== told;
    seen = now;
    if (isSettled) told = now;
    timer = systemClock.setTimer(isSettled ? intervalMs : SETTLE_MS, look);
    if (isNews) onChange();
  }

  return {
    stop: () => {
      timer.cancel();
    },
  };
}

/** What differs where a file has been written to or replaced. */
function stateOf(paths: readonly string[]): string {
  const states = paths.map((path) => {
    try {
      const { ino, size, ctimeMs } = statSync(path);
      return `${ino} ${size} ${ctimeMs}`;
    } catch {
      // Why it cannot be had is said by whoever reads it.
      return "";
    }
  });
  return states.join("\n");
}
