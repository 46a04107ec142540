import { Command, CommanderError, Option } from "commander";

import { SERVER_VERSION } from "../../version.js";
import { addAdminCommands } from "./admin.js";
import { addAuditCommand } from "./audit.js";
import { connect, type ConnectionOptions } from "./connection.js";
import { addDoctorCommand } from "./doctor.js";
import { CommandError, EXIT, type ExitCode } from "./exit.js";
import { addIncidentCommands } from "./incident.js";
import type { Runner } from "./operator.js";
import { createPrinter } from "./print.js";
import { addServeCommand } from "./serve.js";
import { addSessionCommands } from "./sessions.js";
import { addWatchCommand } from "./watch.js";

/*
 * The commands are the admin service and its neighbours, typed by hand. Each says
 * the same to people, in tables, and to scripts, with --json; the exit code says
 * how it ended. Nothing secret is ever an argument: everybody on the machine can
 * read those.
 */

interface GlobalOptions extends ConnectionOptions {
  readonly json?: boolean;
}

const EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 unavailable.";

/** Runs one command line and returns its exit code. Says on stderr what went wrong. */
export async function runOperator(args: readonly string[]): Promise<ExitCode> {
  try {
    await createProgram().parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    }
    if (error instanceof CommandError) {
      process.stderr.write(`${error.message}\n`);
      return error.exitCode;
    }
    throw error;
  }
}

function createProgram(): Command {
  const program = new Command("coatcheck")
    .description("Operates a Coatcheck session authority")
    .version(SERVER_VERSION)
    .addOption(
      new Option("--target <address>", "the authority, any gRPC name")
        .env("COATCHECK_TARGET")
        .default("127.0.0.1:7443"),
    )
    .addOption(new Option("--ca <file>", "who signed its certificate").env("COATCHECK_CA"))
    .addOption(new Option("--cert <file>", "our certificate").env("COATCHECK_CERT"))
    .addOption(new Option("--key <file>", "the key of it").env("COATCHECK_CERT_KEY"))
    .option("--tls", "TLS with the authorities that the system trusts")
    .option("--plaintext", "no TLS, also to other machines")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nA service key is read from COATCHECK_SERVICE_KEY or the file that " +
        `COATCHECK_SERVICE_KEY_FILE names.\n${EXIT_CODES}`,
    )
    .exitOverride()
    .showHelpAfterError("(--help says more)");
  const run: Runner = async (work) => {
    const { json, ...options } = program.opts<GlobalOptions>();
    const connection = connect(options);
    try {
      await work({ connection, print: createPrinter(json === true) });
    } finally {
      connection.close();
    }
  };
  addServeCommand(program);
  addSessionCommands(program, run);
  addWatchCommand(program, run);
  addAdminCommands(program, run);
  addIncidentCommands(program, run);
  addAuditCommand(program, run);
  addDoctorCommand(program, () => createPrinter(program.opts<GlobalOptions>().json === true));
  return program;
}
