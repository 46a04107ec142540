/**
 * Reads what a script packed with `struct`: little-endian, numbers as doubles (they
 * are whole and below 2^53), texts with a length of two bytes before them.
 */
export class PackedReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** One byte. */
  byte(): number {
    const value = this.#bytes.readUInt8(this.#offset);
    this.#offset += 1;
    return value;
  }

  /** A whole number. */
  number(): number {
    const value = this.#bytes.readDoubleLE(this.#offset);
    this.#offset += 8;
    return value;
  }

  /** A text. */
  text(): string {
    const start = this.#offset + 2;
    this.#offset = start + this.#bytes.readUInt16LE(this.#offset);
    return this.#bytes.toString("utf8", start, this.#offset);
  }

  /** Everything that is left, without a copy. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#offset);
  }
}
