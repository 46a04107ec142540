import type { RevocationEvent, SyncReply } from "#client/base/event.js";
import type { Instant } from "#client/base/instant.js";
import type { Revision, RevisionRange } from "#client/base/revision.js";
import type { Session, ValidationReply } from "#client/base/session.js";
import { ValidationCache, type CacheLimits } from "#client/cache/validation-cache.js";
import type { Question } from "#client/cache/verdict.js";

/** The bound L that the fixtures grant, in ms. */
export const L_MS = 3_000;

/** The session that most tests are about. It is in partition 0. */
export const SESSION_ID = "00aaaaaaaaaaaaaaaaaaaaaa";

/** The digest of its token. */
export const DIGEST = "d1";

const ROOMY: CacheLimits = {
  entriesMax: 100,
  tombstonesMax: 100,
  marksMax: 100,
  cutoffsMax: 100,
  ownMutationsMax: 100,
  maxStalenessMs: L_MS,
};

/** A cache with room, unless a test takes some away. */
export function createCache(limits: Partial<CacheLimits> = {}): ValidationCache {
  return new ValidationCache({ ...ROOMY, ...limits });
}

/** `ms` after an arbitrary start, on both clocks. */
export function at(ms: number): Instant {
  return { monotonicMs: 1_000 + ms, wallMs: 1_700_000_000_000 + ms };
}

/** A revision of partition 0, generation 1. */
export function rev(sequence: number, generation = 1, partition = 0): Revision {
  return { partition, generation, sequence };
}

/** The stretch after `from` up to and including `through`, in partition 0, generation 1. */
export function range(from: number, through: number): RevisionRange {
  return { fromExclusive: rev(from), through: rev(through) };
}

/** A session with nothing special about it. */
export function session(overrides: Partial<Session> = {}): Session {
  return {
    sessionId: SESSION_ID,
    tenantId: "acme",
    subject: "alice",
    state: "active",
    createdAtMs: 1_000,
    authenticatedAtMs: undefined,
    lastSeenAtMs: 1_000,
    idleExpiresAtMs: 1_801_000,
    absoluteExpiresAtMs: 43_201_000,
    updatedAtMs: 1_000,
    version: 1,
    policy: "default",
    clientId: "web",
    origin: "",
    device: { id: "", name: "", ipAddress: "", userAgent: "" },
    bindingPolicy: { ipAddress: "off", userAgent: "off", deviceId: "off" },
    aal: 1,
    amr: [],
    actor: "",
    attributes: new Map(),
    replacesSessionId: "",
    ended: undefined,
    ...overrides,
  };
}

/** A VALID answer, computed at revision 0 and issued there. */
export function reply(overrides: Partial<ValidationReply> = {}): ValidationReply {
  return {
    outcome: "valid",
    session: session(),
    asOf: rev(0),
    issued: rev(0),
    validForMs: 1_800_000,
    superseded: false,
    authenticationAgeMs: undefined,
    cacheable: true,
    maxStalenessMs: L_MS,
    ended: undefined,
    ...overrides,
  };
}

/** The end of `SESSION_ID`, or of whatever the overrides say. */
export function revoked(
  revision: Revision,
  overrides: Partial<RevocationEvent> = {},
): RevocationEvent {
  return {
    revision,
    eventId: `e-${revision.partition}-${revision.generation}-${revision.sequence}`,
    kind: "revoked",
    trigger: undefined,
    target: { kind: "session", sessionId: SESSION_ID },
    cutoff: undefined,
    tenantId: "acme",
    reason: "user-logout",
    initiatingEntity: "user",
    revokedAtMs: undefined,
    ...overrides,
  };
}

/** The end of all of alice's sessions but the excepted. */
export function subjectRevoked(
  revision: Revision,
  except: readonly string[] = [],
): RevocationEvent {
  return revoked(revision, {
    target: { kind: "subject", subject: "alice", except },
    cutoff: revision,
  });
}

/** A Sync that says where partition 0 is. */
export function syncReply(head: Revision, overrides: Partial<SyncReply> = {}): SyncReply {
  return {
    ranges: [],
    events: [],
    heads: [head],
    resets: [],
    maxStalenessMs: L_MS,
    deploymentId: "d",
    ...overrides,
  };
}

/** Opens the stream without a position, at a revision of partition 0. */
export function open(cache: ValidationCache, position: Revision, now = at(0)): void {
  cache.applyMessage(
    { kind: "opened", position: [position], deploymentId: "d", maxStalenessMs: L_MS },
    now,
  );
}

/** Hands events of partition 0 to the cache as the stream would. */
export function push(
  cache: ValidationCache,
  stretch: RevisionRange,
  ...events: readonly RevocationEvent[]
): void {
  cache.applyMessage({ kind: "batch", ranges: [stretch], events }, at(0));
}

/** Asks and answers at one instant, so that the answer is kept if it may be. */
export function warm(
  cache: ValidationCache,
  given: { readonly now?: Instant; readonly reply?: ValidationReply } = {},
): Question {
  const now = given.now ?? at(0);
  const question = cache.ask(SESSION_ID, now);
  cache.fill(question, { digest: DIGEST, reply: given.reply ?? reply() }, now);
  return question;
}

/** Syncs, sent and answered at one instant, with nothing new. */
export function sync(cache: ValidationCache, head: Revision, now: Instant): void {
  cache.applySync(cache.askSync(now), syncReply(head), now);
}

/** What memory says of the session at an instant. */
export function hit(cache: ValidationCache, now: Instant, digest = DIGEST): string {
  return cache.hit({ sessionId: SESSION_ID, digest }, now).kind;
}
