import type { Duration, Revision, Timestamp } from "@coatcheck/proto";
import Table from "cli-table3";

/** What a command shows: the same facts for people and for machines. */
export type Row = Readonly<Record<string, Cell>>;

/** One fact. */
export type Cell = string | number | boolean | readonly string[] | undefined;

/** Where a command prints to, and how. */
export interface Printer {
  /** A list: a table, or a JSON array. */
  list(columns: readonly string[], rows: readonly Row[]): void;
  /** One thing: a table of two columns, or a JSON object. */
  one(row: Row): void;
  /** A row of a list that has no end: a line, or a line of JSON. */
  line(row: Row, text: string): void;
  /** What was done, for people; a machine reads the exit code. */
  note(sentence: string): void;
}

const BARE = {
  chars: {
    top: "",
    "top-mid": "",
    "top-left": "",
    "top-right": "",
    bottom: "",
    "bottom-mid": "",
    "bottom-left": "",
    "bottom-right": "",
    left: "",
    "left-mid": "",
    mid: "",
    "mid-mid": "",
    right: "",
    "right-mid": "",
    middle: "  ",
  },
  style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
};

/** A printer on standard output. */
export function createPrinter(isJson: boolean): Printer {
  return isJson ? jsonPrinter : tablePrinter;
}

const jsonPrinter: Printer = {
  list: (_columns, rows) => {
    console.log(JSON.stringify(rows, undefined, 2));
  },
  one: (row) => {
    console.log(JSON.stringify(row, undefined, 2));
  },
  line: (row) => {
    console.log(JSON.stringify(row));
  },
  note: () => undefined,
};

const tablePrinter: Printer = {
  list: (columns, rows) => {
    if (rows.length === 0) {
      console.log("none");
      return;
    }
    const table = new Table({ ...BARE, head: columns.map((column) => column.toUpperCase()) });
    table.push(...rows.map((row) => columns.map((column) => show(row[column]))));
    console.log(render(table));
  },
  one: (row) => {
    const table = new Table(BARE);
    for (const [name, value] of Object.entries(row)) {
      if (show(value) !== "-") table.push([name, show(value, "\n")]);
    }
    console.log(render(table));
  },
  line: (_row, text) => {
    console.log(printable(text));
  },
  note: (sentence) => {
    console.log(printable(sentence));
  },
};

// What callers wrote may hold escape sequences, and a terminal obeys them (S-45); and what turns the
// order of letters around, so that a row reads as it does not say.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function printable(text: string): string {
  return text.replace(UNPRINTABLE, "\u00b7");
}

function show(value: Cell, separator = ", "): string {
  if (value === undefined || value.toString() === "") return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "object") return value.map(printable).join(separator);
  return typeof value === "string" ? printable(value).replace(INSTANT, "$1 $2Z") : String(value);
}

// In a table seconds do, and the difference is what makes a row fit.
const INSTANT = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{3}Z$/;

function render(table: { toString(): string }): string {
  return table.toString().replace(/ +$/gm, "");
}

/** The name of an enum's number, in lower case: `user_logout`. */
export function enumName(names: Readonly<Record<string, number>>, number: number): string {
  const found = Object.entries(names).find(([, value]) => value === number);
  return (found?.[0] ?? String(number)).toLowerCase();
}

/** An instant as RFC 3339 with milliseconds. */
export function instantText(at: Timestamp | undefined): string {
  if (at === undefined) return "";
  return new Date(Number(at.seconds) * 1000 + at.nanos / 1_000_000).toISOString();
}

/** Milliseconds of a duration. */
export function durationMs(duration: Duration | undefined): number | undefined {
  return duration === undefined
    ? undefined
    : Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
}

/** A revision as `partition/generation-sequence`. */
export function revisionText(revision: Revision | undefined): string {
  return revision === undefined
    ? ""
    : `${revision.partition}/${revision.generation}-${revision.sequence}`;
}
