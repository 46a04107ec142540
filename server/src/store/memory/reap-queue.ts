interface Appointment {
  readonly sessionId: string;
  readonly atMs: number;
}

/**
 * Session ids by the instant at which the reaper looks at them next. A binary
 * heap, as sessions are added in another order than they end; it knows where each
 * id is, so that an id has one appointment however often it is rescheduled.
 */
export class ReapQueue {
  readonly #heap: Appointment[] = [];
  readonly #indexOf = new Map<string, number>();

  /** How many ids have an appointment. */
  get size(): number {
    return this.#heap.length;
  }

  /** Sets the appointment of an id, in place of any it had. */
  set(sessionId: string, atMs: number): void {
    this.delete(sessionId);
    this.#place({ sessionId, atMs }, this.#heap.length);
    this.#rise(this.#heap.length - 1);
  }

  /** Removes an id; one that is not there is ignored. */
  delete(sessionId: string): void {
    const index = this.#indexOf.get(sessionId);
    if (index === undefined) {
      return;
    }
    this.#indexOf.delete(sessionId);
    const last = this.#heap.pop();
    if (last !== undefined && index < this.#heap.length) {
      this.#place(last, index);
      this.#rise(index);
      this.#sink(index);
    }
  }

  /** The first id whose appointment is at or before `nowMs`. */
  firstDue(nowMs: number): string | undefined {
    const first = this.#heap[0];
    return first !== undefined && first.atMs <= nowMs ? first.sessionId : undefined;
  }

  #place(appointment: Appointment, index: number): void {
    this.#heap[index] = appointment;
    this.#indexOf.set(appointment.sessionId, index);
  }

  #rise(from: number): void {
    let index = from;
    while (index > 0 && this.#swapIfEarlier(index, (index - 1) >>> 1)) {
      index = (index - 1) >>> 1;
    }
  }

  #sink(from: number): void {
    let index = from;
    for (;;) {
      const left = 2 * index + 1;
      const child = this.#isEarlier(left + 1, left) ? left + 1 : left;
      if (!this.#swapIfEarlier(child, index)) {
        return;
      }
      index = child;
    }
  }

  #swapIfEarlier(child: number, parent: number): boolean {
    const [below, above] = [this.#heap[child], this.#heap[parent]];
    if (below === undefined || above === undefined || !this.#isEarlier(child, parent)) {
      return false;
    }
    this.#place(below, parent);
    this.#place(above, child);
    return true;
  }

  #isEarlier(a: number, b: number): boolean {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    return first !== undefined && second !== undefined && first.atMs < second.atMs;
  }
}
