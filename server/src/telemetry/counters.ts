/**
 * What this replica has done since it started, as plain numbers: they are added
 * to on the hot path, and read a few times a minute.
 */
export class Counters<Outcome extends string> {
  /** Answers by outcome, of ValidateSession and of each item of a batch. */
  readonly outcomes = new Map<Outcome, number>();
  /** Sessions ended by calls to this replica, by reason. */
  readonly ended = new Map<string, number>();
  sessionsCreated = 0;
  /** Events appended to the log by calls to this replica. */
  eventsAppended = 0;

  /** Counts one answer. */
  countOutcome(outcome: Outcome): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }

  /** Counts one session. */
  countCreated(): void {
    this.sessionsCreated += 1;
  }

  /** Counts sessions that a call ended, for one reason of the contract. */
  countEnded(reason: string, sessions: number): void {
    if (sessions > 0) {
      this.ended.set(reason, (this.ended.get(reason) ?? 0) + sessions);
    }
  }

  /** Counts events of the log. */
  countEvents(events: number): void {
    this.eventsAppended += events;
  }
}
