import type { Connection } from "./connection.js";
import type { Printer } from "./print.js";

/** What a command runs with. */
export interface Operator {
  readonly connection: Connection;
  readonly print: Printer;
}

/** Runs a command with a connection, and closes that after it. */
export type Runner = (work: (operator: Operator) => Promise<void>) => Promise<void>;
