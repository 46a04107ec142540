/** Ends this process as soon as the one that started it is gone, however that one ended. */
export function endWithStoryteller(): void {
  process.once("disconnect", () => process.exit(0));
  // It may have gone while this process loaded its modules.
  if (!process.connected) process.exit(0);
}
