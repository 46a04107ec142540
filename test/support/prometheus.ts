import { get } from "node:http";

/** One series of a scrape. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A scrape as it was answered. */
export interface ScrapeAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/** Asks a metrics listener. */
export async function scrape(address: string, path = "/metrics"): Promise<ScrapeAnswer> {
  return await new Promise<ScrapeAnswer>((resolve, reject) => {
    get(`http://${address}${path}`, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => {
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers["content-type"] ?? "",
          text,
        });
      });
    }).on("error", reject);
  });
}

/** The series in the text format of Prometheus. Throws at a line that is none. */
export function parseSeries(text: string): Series[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (match === null) throw new Error(`Cannot read a line of a scrape: ${line}`);
      const [, name = "", labels = "", value = ""] = match;
      const pairs = [...labels.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)];
      return {
        name,
        labels: Object.fromEntries(pairs.map(([, label = "", text = ""]) => [label, text])),
        value: value === "+Inf" ? Infinity : Number(value),
      };
    });
}

/** The names and kinds that a scrape declares. */
export function declared(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", kind = ""]) => [name, kind]),
  );
}

/** The value of the one series with a name and these labels; undefined where there is none. */
export function valueOf(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = parseSeries(text).filter(
    (series) =>
      series.name === name &&
      Object.entries(labels).every(([label, value]) => series.labels[label] === value),
  );
  if (found.length > 1) throw new Error(`Cannot tell which ${name} is meant: ${found.length} are`);
  return found[0]?.value;
}
