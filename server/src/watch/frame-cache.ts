import type { Revision } from "../session/revision.js";
import type { EventFrame, FrameRequest } from "./event-frame.js";

// Watchers that keep up ask for the same few stretches; the rest are made again.
const FRAMES_MAX = 32;

/** The latest frames of one partition, shared by the watchers at the same place. */
export class FrameCache {
  readonly #frames = new Map<string, EventFrame>();

  /** The frame for this request up to `through`, made once. */
  get(request: FrameRequest, through: Revision, make: () => EventFrame): EventFrame {
    const key = [
      placeKey(request.announced),
      placeKey(request.scanned),
      placeKey(through),
      request.filter.key,
    ].join(" ");
    const known = this.#frames.get(key);
    if (known !== undefined) {
      return known;
    }
    const made = make();
    this.#frames.set(key, made);
    for (const oldest of this.#frames.keys()) {
      if (this.#frames.size <= FRAMES_MAX) {
        break;
      }
      this.#frames.delete(oldest);
    }
    return made;
  }
}

function placeKey({ generation, sequence }: Revision): string {
  return `${generation}-${sequence}`;
}
