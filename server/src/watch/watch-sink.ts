/** Where a watcher's messages go: one stream of one client. */
export interface WatchSink {
  /**
   * Whether the connection under the stream has reached its age: it takes no
   * new streams, and ends this one soon.
   */
  readonly isRetiring: boolean;
  /**
   * Hands over one message. True once the transport has taken it, which it does
   * only as fast as the client reads; false where the stream has ended or was
   * released. Never rejects. A second message is not handed over before the
   * first is settled.
   */
  write(message: Uint8Array): Promise<boolean>;
  /** Settles a pending write, and every later one, with false. */
  release(): void;
}
