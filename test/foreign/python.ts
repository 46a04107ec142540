import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { ROOT } from "../support/child.js";

const run = promisify(execFile);
const VENV = join(ROOT, "node_modules/.cache/coatcheck-python");
const PACKAGES = ["grpcio", "grpcio-tools"];
const INSTALL_TIMEOUT_MS = 110_000;

/**
 * A Python that has grpcio: the one on the PATH, or a virtual environment made
 * once. With neither it fails with one sentence.
 */
export async function pythonWithGrpc(): Promise<string> {
  if (await hasGrpc("python3")) return "python3";
  const python = join(VENV, "bin/python3");
  if (existsSync(python) && (await hasGrpc(python))) return python;
  try {
    await run("python3", ["-m", "venv", VENV]);
    await run(python, ["-m", "pip", "install", "-q", ...PACKAGES], { timeout: INSTALL_TIMEOUT_MS });
  } catch (cause) {
    throw new Error(
      `The Python client needs python3 with venv and pip, or ${PACKAGES.join(" and ")}`,
      {
        cause,
      },
    );
  }
  return python;
}

async function hasGrpc(python: string): Promise<boolean> {
  try {
    await run(python, ["-c", "import grpc, grpc_tools"]);
    return true;
  } catch {
    return false;
  }
}
