import { endWithStoryteller } from "./storyteller.js";

/*
 * What `npm start` runs, but for the demo: it ends when the demo does, also where the
 * demo was killed and could not end it.
 */

endWithStoryteller();
await import("../../main.js");
