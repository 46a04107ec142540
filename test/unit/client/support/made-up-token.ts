import { crc32 } from "node:zlib";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A token of the right shape and checksum, of a session that nobody made; one for each index. */
export function madeUpToken(index: number): {
  readonly session_id: string;
  readonly token: string;
} {
  const number = String(index).padStart(10, "0");
  const sessionId = `0${(index % 16).toString(16)}${number.padEnd(22, "x")}`;
  const checked = `cc1_${sessionId}${number.padEnd(43, "s")}`;
  return { session_id: sessionId, token: `${checked}${base62(crc32(checked))}` };
}

function base62(value: number): string {
  let text = "";
  for (let rest = value, index = 0; index < 6; index += 1) {
    text = BASE62.charAt(rest % 62) + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}
