/*
 * What may be logged of an error that nobody expected: of what class it is and
 * where in the code it was thrown. Its message and its `name` are data, which may
 * quote a token or a host (S-44), and both stand at the head of its stack. So the
 * head is cut off by the message; where that is not found in the stack, somebody
 * has changed it, and nothing of the stack is told. A message can look like frames.
 */

const FRAME = /^ {4}at .{1,300}$/;

// Enough to find the place, and no more than fits in a line.
const FRAMES_MAX = 6;

/** The class of what was thrown, and at most so many of the frames it passed through. */
export function traceOf(thrown: unknown, framesMax = FRAMES_MAX): string {
  if (!(thrown instanceof Error)) {
    return typeof thrown;
  }
  const stack = thrown.stack ?? "";
  const message = stack.indexOf(thrown.message);
  const frames = message < 0 ? "" : stack.slice(message + thrown.message.length);
  const told = frames
    .split("\n")
    .filter((line) => FRAME.test(line))
    .slice(0, framesMax)
    .map((line) => line.trim());
  return [thrown.constructor.name, ...told].join(" | ");
}
