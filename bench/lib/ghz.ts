import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What a ghz run counted. */
export interface GhzReport {
  readonly count: number;
  readonly rps: number;
  /** Calls by gRPC status name. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What to run. Requests come from a file: a token in argv would be readable by everyone. */
export interface GhzRun {
  readonly address: string;
  readonly dataFile: string;
  readonly protoset: string;
  readonly call: string;
  readonly seconds: number;
  readonly concurrency: number;
}

interface GhzJson {
  count: number;
  rps: number;
  statusCodeDistribution: Record<string, number>;
  latencyDistribution: { percentage: number; latency: number }[] | null;
}

/** Says whether ghz is on the PATH. */
export async function ghzInstalled(): Promise<boolean> {
  try {
    await run("ghz", ["--version"]);
    return true;
  } catch {
    return false;
  }
}

/** Runs ghz once. `wait` lets calls in flight finish: cutting them off would count as errors. */
export async function ghz(options: GhzRun): Promise<GhzReport> {
  const { stdout } = await run(
    "ghz",
    [
      "--insecure",
      ...["--protoset", options.protoset, "--call", options.call],
      ...["-D", options.dataFile, "--disable-template-functions", "--disable-template-data"],
      ...["-c", String(options.concurrency), "--connections", "4"],
      ...["-z", `${String(options.seconds)}s`, "--duration-stop", "wait", "-O", "json"],
      options.address,
    ],
    { maxBuffer: 1 << 28 },
  );
  const json = JSON.parse(stdout) as GhzJson;
  function percentile(wanted: number): number {
    const found = json.latencyDistribution?.find(({ percentage }) => percentage === wanted);
    return (found?.latency ?? Number.NaN) / 1e6;
  }
  return {
    count: json.count,
    rps: json.rps,
    statuses: json.statusCodeDistribution,
    p50Ms: percentile(50),
    p99Ms: percentile(99),
  };
}
