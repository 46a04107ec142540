/**
 * A map that forgets its oldest entry instead of growing. Setting a key again
 * makes it the newest; so does `refresh`. Forgetting is announced, because
 * whoever forgets a revocation must remember that it forgot.
 */
export class BoundedMap<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #capacity: number;
  readonly #onEvict: (value: V, key: K) => void;

  /** A capacity of 0 keeps nothing: whatever is set is evicted at once. */
  constructor(capacity: number, onEvict: (value: V, key: K) => void) {
    this.#capacity = capacity;
    this.#onEvict = onEvict;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  has(key: K): boolean {
    return this.#entries.has(key);
  }

  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#capacity) this.#evictOldest();
  }

  /** Makes a key that is present the newest. */
  refresh(key: K, value: V): void {
    if (this.#entries.delete(key)) this.#entries.set(key, value);
  }

  delete(key: K): boolean {
    return this.#entries.delete(key);
  }

  values(): IterableIterator<V> {
    return this.#entries.values();
  }

  clear(): void {
    this.#entries.clear();
  }

  #evictOldest(): void {
    for (const [key, value] of this.#entries) {
      this.#entries.delete(key);
      this.#onEvict(value, key);
      return;
    }
  }
}
