import { type Cutoff, isUnder, type IssuedSession, strongerCutoff } from "../../session/cutoff.js";
import { compareRevisions } from "../../session/revision.js";

/** Cutoffs of single clients that one tenant may have at a time. */
export const CLIENT_CUTOFFS_MAX = 1_000;

/** What says which cutoffs cover a session, as key digests. */
export interface CutoffKeys {
  /** Undefined for an anonymous session: no subject cutoff covers it. */
  readonly subjectKey: string | undefined;
  readonly tenantKey: string;
  readonly clientKey: string;
}

/** Whom a cutoff covers. */
export type CutoffScope =
  | { readonly kind: "subject"; readonly subjectKey: string }
  | { readonly kind: "tenant"; readonly tenantKey: string }
  | { readonly kind: "client"; readonly tenantKey: string; readonly clientKey: string }
  | { readonly kind: "all" };

/**
 * The cutoffs in force in one partition. A revision and an instant are kept apart
 * in every scope: neither says anything of what the other covers.
 */
export class CutoffTable {
  readonly #cutoffs = new Map<string, Cutoff>();
  readonly #clientFields = new Map<string, Set<string>>();

  /** How many cutoffs are in force. */
  get size(): number {
    return this.#cutoffs.size;
  }

  /** The first cutoff that ended the session, or undefined where none covers it. */
  find(keys: CutoffKeys, session: IssuedSession): Cutoff | undefined {
    let first: Cutoff | undefined;
    for (const field of fieldsCovering(keys)) {
      const cutoff = this.#cutoffs.get(field);
      const covers = cutoff !== undefined && isUnder(cutoff, session);
      if (
        covers &&
        (first === undefined || compareRevisions(cutoff.revision, first.revision) < 0)
      ) {
        first = cutoff;
      }
    }
    return first;
  }

  /** Whether the scope's tenant has room for its cutoff. */
  hasRoomFor(scope: CutoffScope, isInstant: boolean): boolean {
    if (scope.kind !== "client") {
      return true;
    }
    const fields = this.#clientFields.get(scope.tenantKey);
    return (
      fields === undefined ||
      fields.size < CLIENT_CUTOFFS_MAX ||
      fields.has(fieldOf(scope, isInstant))
    );
  }

  /** Puts a cutoff in force, unless a stronger one of the same scope and kind is. */
  raise(scope: CutoffScope, cutoff: Cutoff): void {
    const field = fieldOf(scope, cutoff.createdBeforeMs !== undefined);
    this.#cutoffs.set(field, strongerCutoff(this.#cutoffs.get(field), cutoff));
    if (scope.kind === "client") {
      const fields = this.#clientFields.get(scope.tenantKey) ?? new Set();
      this.#clientFields.set(scope.tenantKey, fields.add(field));
    }
  }

  /** Drops a subject's cutoff, when the last id has left its index. */
  dropSubject(subjectKey: string): void {
    this.#cutoffs.delete(fieldOf({ kind: "subject", subjectKey }, false));
  }

  /** Drops the wider cutoffs that were set before an instant: what they covered is gone. */
  dropSetBefore(instantMs: number): void {
    for (const [field, cutoff] of this.#cutoffs) {
      if (!field.startsWith("s:") && cutoff.end.atMs < instantMs) {
        this.#cutoffs.delete(field);
        this.#forgetClientField(field);
      }
    }
  }

  #forgetClientField(field: string): void {
    for (const [tenantKey, fields] of this.#clientFields) {
      if (fields.delete(field) && fields.size === 0) {
        this.#clientFields.delete(tenantKey);
      }
    }
  }
}

function fieldsCovering({ subjectKey, tenantKey, clientKey }: CutoffKeys): readonly string[] {
  const scopes: CutoffScope[] = [
    { kind: "tenant", tenantKey },
    { kind: "client", tenantKey, clientKey },
    { kind: "all" },
  ];
  const fields = scopes.flatMap((scope) => [fieldOf(scope, false), fieldOf(scope, true)]);
  return subjectKey === undefined
    ? fields
    : [fieldOf({ kind: "subject", subjectKey }, false), ...fields];
}

function fieldOf(scope: CutoffScope, isInstant: boolean): string {
  const before = isInstant ? "before:" : "";
  switch (scope.kind) {
    case "subject":
      return `s:${scope.subjectKey}`;
    case "tenant":
      return `${before}t:${scope.tenantKey}`;
    case "client":
      return `${before}c:${scope.clientKey}`;
    case "all":
      return `${before}a`;
  }
}
