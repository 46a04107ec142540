import { randomInt } from "node:crypto";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** `length` base62 characters from the system's random source, without bias. */
export function randomBase62(length: number): string {
  let text = "";
  for (let index = 0; index < length; index += 1) {
    text += BASE62.charAt(randomInt(62));
  }
  return text;
}
