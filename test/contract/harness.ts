import type { Store, StoreOptions } from "#server/store/store.js";

/** A store under test, with the two things that only a test may do to it. */
export interface StoreHarness {
  /** Started, empty, with its reap timer switched off: the tests call `reap`. */
  readonly store: Store;
  /**
   * Sets the stored time of a partition, `head.now`. With an instant later than
   * the real time the store's time stands still there, because it never goes
   * back: deadlines are then met to the millisecond and nothing sleeps.
   */
  setNow(partition: number, nowMs: number): Promise<void>;
  /**
   * Changes the partition's history as a failover would: the newest `lostEvents`
   * events of the log are gone, and by the time the promise resolves a new
   * generation is open at sequence 0 with the fork recorded. Records and cutoffs
   * stay as they are.
   */
  openGeneration(partition: number, change: { readonly lostEvents: number }): Promise<void>;
  /** Ends the store and removes what the test left behind. */
  close(): Promise<void>;
}

/** Makes a fresh, empty store that shares nothing with any other. */
export type CreateHarness = (options?: Partial<StoreOptions>) => Promise<StoreHarness>;

/** Facts of the contract that a store does not meet, each with its reason. Empty is the aim. */
export interface ContractOptions {
  readonly except?: Readonly<Record<string, string>>;
}
