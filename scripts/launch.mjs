// Runs a TypeScript entry, or an installed tool, on a clone that may not even have its
// dependencies yet. Only Node built-ins may be imported here.
//
//   node scripts/launch.mjs server/src/main.ts [args]    a TypeScript entry
//   node scripts/launch.mjs --bin vitest [args]          a tool from node_modules
//   node scripts/launch.mjs --stamp                      record that the install is current
//
// A stamp in node_modules holds the lock file's digest, so `npm ci` runs when the lock file
// changed and at no other time.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const STAMP = `${ROOT}node_modules/.coatcheck-lock`;
const FORWARDED = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

main(process.argv.slice(2));

/** @param {string[]} args */
function main(args) {
  const [first, ...rest] = args;
  if (first === undefined) {
    fail("Usage: node scripts/launch.mjs (<entry.ts> | --bin <tool> | --stamp) [args]");
  }
  refuseUnsupportedNode();
  if (first === "--stamp") {
    writeStamp();
    return;
  }
  installIfStale();
  runChild([
    "--conditions=@coatcheck/source",
    ...(first === "--bin" ? toolArgs(rest) : [tsxHook(), `${ROOT}${first}`, ...rest]),
  ]);
}

function refuseUnsupportedNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const supported = major === 20 ? minor >= 19 : major > 22 || (major === 22 && minor >= 12);
  if (!supported) {
    fail(
      `Coatcheck needs Node 20.19 or later on 20, or 22.12 or later; this is ${process.version}`,
    );
  }
}

function lockDigest() {
  return createHash("sha256")
    .update(readFileSync(`${ROOT}package-lock.json`))
    .digest("hex");
}

function writeStamp() {
  if (existsSync(`${ROOT}package-lock.json`) && existsSync(`${ROOT}node_modules`)) {
    writeFileSync(STAMP, lockDigest());
  }
}

function installIfStale() {
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === lockDigest()) return;

  process.stderr.write("Installing the locked dependencies (npm ci)\n");
  const npmCli = process.env["npm_execpath"];
  const [command, ...prefix] = npmCli === undefined ? ["npm"] : [process.execPath, npmCli];
  // npm's own output goes to stderr: stdout belongs to the entry.
  const install = spawnSync(command ?? "npm", [...prefix, "ci", "--no-audit", "--no-fund"], {
    cwd: ROOT,
    stdio: ["ignore", 2, 2],
  });
  if (install.status !== 0) {
    fail(`Cannot install the locked dependencies: npm ci ended with ${String(install.status)}`);
  }
  writeStamp();
}

// By its full address: `--import=tsx` would be looked for from the working directory, which is
// the caller's, and a child that passes `process.execArgv` on may be started in yet another.
function tsxHook() {
  return `--import=${import.meta.resolve("tsx")}`;
}

/** @param {string[]} args */
function toolArgs([tool = "", ...args]) {
  // npm links each bin to its JavaScript file, which node can run itself: one process fewer
  // between a signal and the tool.
  return [realpathSync(`${ROOT}node_modules/.bin/${tool}`), ...args];
}

/** @param {string[]} nodeArgs */
function runChild(nodeArgs) {
  const child = spawn(process.execPath, nodeArgs, { stdio: "inherit" });
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole foreground group; a second one would look like
      // an impatient user.
      if (signal === "SIGINT" && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  child.on("error", (error) => fail(`Cannot start ${process.execPath}: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    // Die the way the child died, so that the caller sees the signal too.
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
    process.kill(process.pid, signal);
  });
}

/**
 * @param {string} sentence
 * @returns {never}
 */
function fail(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
