import { unwatchFile, watchFile } from "node:fs";

/** Stops watching. Stopping twice does nothing. */
export interface FileWatch {
  stop(): void;
}

/**
 * Says when one of some files may have changed, by looking at them every so often.
 *
 * Notices of the operating system are quicker, but they follow an inode: a file
 * that is replaced by renaming, or a symbolic link that is turned, as Kubernetes
 * does with mounted secrets, is lost to them. Looking never keeps the process alive.
 */
export function watchFiles(
  paths: readonly string[],
  intervalMs: number,
  onChange: () => void,
): FileWatch {
  for (const path of paths) {
    watchFile(path, { interval: intervalMs, persistent: false }, onChange);
  }
  return {
    stop: () => {
      for (const path of paths) unwatchFile(path, onChange);
    },
  };
}
