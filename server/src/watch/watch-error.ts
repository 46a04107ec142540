/** The replica holds as many streams as it may. */
export class TooManyWatchersError extends Error {
  override readonly name = "TooManyWatchersError";
}

/** The replica is shutting down and takes no new streams. */
export class WatchDrainingError extends Error {
  override readonly name = "WatchDrainingError";
}
