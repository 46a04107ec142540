import { readFileSync } from "node:fs";

import { RotateSessionRequest } from "@coatcheck/proto";
import { describe, expect, it } from "vitest";

import { deriveSuccessor } from "#server/rpc/rotation.js";
import { parseToken, tokenDigest } from "#server/session/token.js";

interface Vectors {
  readonly successors: readonly {
    readonly presented: string;
    readonly nonce: string;
    readonly token: string;
    readonly recovery_token: string;
    readonly never: string;
  }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../../../../proto/vectors/tokens.json", import.meta.url), "utf8"),
) as Vectors;

describe("the successor that a rotation hands out", () => {
  it.each(vectors.successors)(
    "is keyed by the secret of the token, never by all of it: $nonce (DESIGN §4)",
    (vector) => {
      const presented = parseToken(vector.presented) ?? expect.fail("The vector is no token");
      const rotation = {
        request: RotateSessionRequest.create({ token: vector.presented }),
        trigger: "periodic",
        presented,
        presentedDigest: tokenDigest(vector.presented),
      } as const;

      const nonce = Buffer.from(vector.nonce, "hex");
      const successor = deriveSuccessor(rotation, presented.sessionId, nonce);

      expect(successor).toEqual({ token: vector.token, recoveryToken: vector.recovery_token });
      expect(successor.token).not.toBe(vector.never);
    },
  );
});
