/**
 * Resolves after `delayMs`. Unlike a clock's timers it keeps the process alive:
 * it is for the last steps of a shutdown, when nothing else does.
 */
export async function sleep(delayMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
