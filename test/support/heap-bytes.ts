import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

// What ends with a turn of the event loop lets go of more in the next, such as closed streams.
const ROUNDS = 5;

/** What of the heap is in use once everything that nobody holds has gone. */
export async function heapBytes(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let round = 0; round < ROUNDS; round += 1) {
    await nextTurn();
    collect();
  }
  return process.memoryUsage().heapUsed;
}
