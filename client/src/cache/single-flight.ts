import type { ValidationReply } from "../base/session.js";
import type { Question } from "./verdict.js";

/** One validation on its way, which others with the same token may join. */
export interface Flight {
  readonly question: Question;
  /** Whether it counts as a use: who joins one that does not reports its own. */
  readonly touch: boolean;
  /** Rejects with a `SessionAuthorityError`. */
  readonly reply: Promise<ValidationReply>;
}

/**
 * One remote call for many askers of the same token. A flight belongs to nobody:
 * a caller who gives up takes nothing from the others (S-19). The key is the
 * token's digest, the same as the cache compares (S-18).
 */
export class SingleFlight {
  readonly #flights = new Map<string, Flight>();
  #count = 0;

  /** How many are on their way, joinable or not. */
  get count(): number {
    return this.#count;
  }

  /** The flight of a token, if `isJoinable` says so. */
  find(digest: string, isJoinable: (question: Question) => boolean): Flight | undefined {
    const flight = this.#flights.get(digest);
    return flight !== undefined && isJoinable(flight.question) ? flight : undefined;
  }

  /** Lets others join; a later flight of the same token takes the place of an earlier one. */
  add(digest: string, flight: Flight): void {
    this.#flights.set(digest, flight);
  }

  /** Counts a flight from its start until its reply settles. */
  started(): void {
    this.#count += 1;
  }

  /** The flight settled. */
  ended(digest: string, question: Question): void {
    this.#count -= 1;
    if (this.#flights.get(digest)?.question === question) this.#flights.delete(digest);
  }
}
