import { styleText } from "node:util";

import ora from "ora";

/** Tells the story: one line for each fact, a spinner while the demo waits. */
export interface Narrator {
  chapter(title: string): void;
  fact(text: string): void;
  /** Shows `text` while `work` runs, then the fact that `tell` makes of its result. */
  wait<T>(text: string, work: Promise<T>, tell: (result: T) => string): Promise<T>;
}

/** A narrator for `stream`: colour and a spinner on a terminal, plain lines elsewhere. */
export function createNarrator(stream: NodeJS.WriteStream): Narrator {
  function colour(style: "bold" | "green", text: string): string {
    return styleText(style, text, { stream, validateStream: true });
  }
  function fact(text: string): void {
    stream.write(`  ${colour("green", "✓")} ${text}\n`);
  }
  // A terminal of no width is one that nobody looks at (`script`, some CI), and ora would clear
  // lines on it for ever.
  const isWatched = stream.isTTY && stream.columns > 0;
  return {
    chapter: (title) => {
      stream.write(`\n${colour("bold", title)}\n`);
    },
    fact,
    wait: async (text, work, tell) => {
      // With its hands off the standard input, Ctrl-C stays the terminal's.
      // A prefix and no indent: that one leaves the cursor inside the line it cleared.
      const spinner = ora({
        text,
        stream,
        prefixText: " ",
        isSilent: !isWatched,
        discardStdin: false,
      }).start();
      try {
        const result = await work;
        spinner.stop();
        fact(tell(result));
        return result;
      } catch (error) {
        spinner.fail();
        throw error;
      }
    },
  };
}
