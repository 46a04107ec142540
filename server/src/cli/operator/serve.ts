import type { Command } from "commander";

/** `serve`: the authority itself, as `npm start` runs it. It ends the process. */
export function addServeCommand(program: Command): void {
  program
    .command("serve")
    .description("run the authority in this process; the environment configures it")
    .action(async () => {
      await import("../../main.js");
      // The authority serves until a signal ends the process.
      await new Promise<never>(() => undefined);
    });
}
