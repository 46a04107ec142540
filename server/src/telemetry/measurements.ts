import { CallStatistics } from "./call-statistics.js";
import { Durations } from "./durations.js";

/** What is measured as it happens. Everything else is read from where it is kept. */
export class Measurements {
  readonly calls = new CallStatistics();
  /** Scripts by name and result. */
  readonly scripts = new Durations();
  /** Measures a command to the store. */
  readonly command = (name: string, result: string, durationMs: number): void => {
    this.scripts.add(name, result, durationMs);
  };
}
