import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What of the heap is in use once everything that nobody holds has gone. */
export function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
