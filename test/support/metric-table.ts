import { readFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "./child.js";

/** One row of a table of metrics. */
export interface MetricRow {
  readonly name: string;
  readonly kind: string;
  readonly unit: string;
  readonly labels: readonly string[];
  readonly meaning: string;
}

/** The rows of the table under a README's header `Metric | Kind | Unit | Labels | Meaning`. */
export function readMetricTable(readme: string): MetricRow[] {
  const lines = readFileSync(join(ROOT, readme), "utf8").split("\n");
  const header = lines.findIndex((line) => /^\| Metric +\| Kind +\| Unit /.test(line));
  const rows = lines.slice(header + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return (header < 0 ? [] : rows.slice(0, end < 0 ? undefined : end)).map((line) => {
    const [name = "", kind = "", unit = "", labels = "", meaning = ""] = line
      .split("|")
      .slice(1)
      .map((cell) => cell.trim());
    return {
      name: plain(name),
      kind,
      unit: plain(unit),
      labels: labels === "" ? [] : labels.split(",").map((label) => plain(label.trim())),
      meaning,
    };
  });
}

/** The same table as text, for the README. */
export function writeMetricTable(rows: readonly MetricRow[]): string {
  return [
    "| Metric | Kind | Unit | Labels | Meaning |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(writeRow),
  ].join("\n");
}

function writeRow({ name, kind, unit, labels, meaning }: MetricRow): string {
  const quoted = labels.map((label) => `\`${label}\``).join(", ");
  return `| \`${name}\` | ${kind} | \`${unit}\` | ${quoted} | ${meaning} |`;
}

function plain(code: string): string {
  return code.replaceAll("`", "");
}
