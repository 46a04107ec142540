import { createHash, randomBytes } from "node:crypto";

import { expect, it } from "vitest";

import type { RevocationEvent } from "#server/session/event.js";
import type { RevocationReason, RotationTrigger } from "#server/session/outcome.js";
import { subjectPartition } from "#server/session/partition.js";
import { DEFAULT_POLICY, type SessionPolicy } from "#server/session/policy.js";
import type { Revision } from "#server/session/revision.js";
import { mintSessionId } from "#server/session/token.js";
import type { AuditOrigin } from "#server/store/audit-trail.js";
import type {
  CreateCommand,
  CreateResult,
  RequestRecord,
  RevocationCause,
  RevokeDeviceCommand,
  RevokeResult,
  RevokeScopeResult,
  RotateCommand,
  RotateResult,
  UpdateCommand,
  UpdateResult,
  ValidateCommand,
  ValidateReply,
} from "#server/store/session-store.js";
import type { Store, StoreOptions } from "#server/store/store.js";

import type { ContractOptions, CreateHarness, StoreHarness } from "./harness.js";

/** When every fact begins, in the far future: the store's time stands still there. */
export const START_MS = 4_102_444_800_000;

export const TENANT = "acme";
export const SUBJECT = "alice";
export const PARTITION = subjectPartition(TENANT, SUBJECT);

/** What a caller remembers of a session: enough to present its token. */
export interface Ticket {
  readonly sessionId: string;
  readonly tokenDigest: string;
}

type Created = Extract<CreateResult, { kind: "created" }>;
type Rotated = Extract<RotateResult, { kind: "rotated" }>;
type CreateOverrides = Partial<Omit<CreateCommand, "policy">> & {
  readonly policy?: Partial<SessionPolicy>;
};

/** A digest of a token that nobody has seen before. */
export function freshDigest(): string {
  return createHash("sha256").update(randomBytes(16)).digest("hex");
}

/** A request record; the same words give the same record. */
export function request(key: string, argumentsDigest = "arguments"): RequestRecord {
  return { key: shortDigest(key), argumentsDigest: shortDigest(argumentsDigest) };
}

function shortDigest(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}

/** Why sessions are ended in these tests, unless a test says otherwise. */
export function cause(reason: RevocationReason = "admin"): RevocationCause {
  return {
    reason,
    initiatingEntity: "admin",
    reasonAdmin: "ticket 4711",
    reasonUser: "Signed out by support",
  };
}

/** One store in one test, in domain verbs. Everything happens to one subject in one partition. */
export class World {
  readonly store: Store;
  readonly #harness: StoreHarness;
  readonly #start: Revision;
  #events = 0;

  private constructor(harness: StoreHarness, start: Revision) {
    this.#harness = harness;
    this.store = harness.store;
    this.#start = start;
  }

  static async open(createHarness: CreateHarness, options?: Partial<StoreOptions>): Promise<World> {
    const harness = await createHarness(options);
    const { head } = await harness.store.log.pull(PARTITION, undefined, 1);
    await harness.setNow(PARTITION, START_MS);
    return new World(harness, head);
  }

  /** Sets the store's time to `offsetMs` after the start. */
  async at(offsetMs: number): Promise<void> {
    await this.#harness.setNow(PARTITION, START_MS + offsetMs);
  }

  async openGeneration(lostEvents = 0): Promise<void> {
    await this.#harness.openGeneration(PARTITION, { lostEvents });
  }

  async close(): Promise<void> {
    await this.#harness.close();
  }

  /** The head of the log when the test began. */
  get start(): Revision {
    return this.#start;
  }

  async head(): Promise<Revision> {
    return (await this.store.log.pull(PARTITION, undefined, 1)).head;
  }

  /** Every event since the test began, however many pulls that takes. */
  async events(from = this.#start): Promise<readonly RevocationEvent[]> {
    const events: RevocationEvent[] = [];
    let position = from;
    for (;;) {
      const pulled = await this.store.log.pull(PARTITION, position, 1_000);
      expect(pulled.verdict).toBe("continue");
      events.push(...pulled.events);
      position = pulled.through;
      if (pulled.events.length === 0) {
        return events;
      }
    }
  }

  createCommand({ policy, ...overrides }: CreateOverrides = {}): CreateCommand {
    return {
      sessionId: mintSessionId(PARTITION),
      tenantId: TENANT,
      subject: SUBJECT,
      clientId: "web",
      device: { id: "laptop", ipAddress: "192.0.2.7", userAgent: "Firefox" },
      checked: { aal: 0, amr: [], authenticatedAtMs: undefined },
      facts: Buffer.from("facts"),
      tokenDigest: freshDigest(),
      nonce: randomBytes(32).toString("hex"),
      recoveryDigest: undefined,
      request: undefined,
      eventId: this.#eventId(),
      ...overrides,
      policy: { ...DEFAULT_POLICY, ...policy },
    };
  }

  async tryCreate(overrides: CreateOverrides = {}): Promise<CreateResult> {
    return await this.store.sessions.create(this.createCommand(overrides));
  }

  /** Creates a session; one that is not created fails the test. */
  async create(overrides: CreateOverrides = {}): Promise<Created> {
    return mustBe(await this.tryCreate(overrides), "created");
  }

  validateCommand(ticket: Ticket, overrides: Partial<ValidateCommand> = {}): ValidateCommand {
    return {
      sessionId: ticket.sessionId,
      tokenDigest: ticket.tokenDigest,
      tenantId: TENANT,
      touch: false,
      audienceClientIds: [],
      binding: undefined,
      requirements: undefined,
      minRevision: undefined,
      ...overrides,
    };
  }

  async validate(ticket: Ticket, overrides: Partial<ValidateCommand> = {}): Promise<ValidateReply> {
    return await this.store.sessions.validate(this.validateCommand(ticket, overrides));
  }

  async outcome(ticket: Ticket, overrides: Partial<ValidateCommand> = {}): Promise<string> {
    return (await this.validate(ticket, overrides)).outcome;
  }

  /** The state in the record, whatever token or tenant. */
  async state({ sessionId }: Pick<Ticket, "sessionId">): Promise<string> {
    return (await this.store.sessions.read(sessionId))?.state ?? "gone";
  }

  /** Records a use now, as a validation in touch mode does. */
  async use(ticket: Ticket): Promise<ValidateReply> {
    return await this.validate(ticket, { touch: true });
  }

  rotateCommand(
    ticket: Ticket,
    trigger: RotationTrigger,
    overrides: Partial<RotateCommand> = {},
  ): RotateCommand {
    return {
      sessionId: ticket.sessionId,
      presentedDigest: ticket.tokenDigest,
      trigger,
      successorDigest: freshDigest(),
      nonce: randomBytes(16).toString("hex"),
      recoveryDigest: undefined,
      raised: undefined,
      request: undefined,
      eventId: this.#eventId(),
      ...overrides,
    };
  }

  async tryRotate(
    ticket: Ticket,
    trigger: RotationTrigger,
    overrides: Partial<RotateCommand> = {},
  ): Promise<RotateResult> {
    return await this.store.sessions.rotate(this.rotateCommand(ticket, trigger, overrides));
  }

  /** Rotates and returns the successor; a refusal fails the test. */
  async rotate(
    ticket: Ticket,
    trigger: RotationTrigger,
    overrides: Partial<RotateCommand> = {},
  ): Promise<Rotated & Ticket> {
    const result = mustBe(await this.tryRotate(ticket, trigger, overrides), "rotated");
    return { ...result, sessionId: ticket.sessionId, tokenDigest: result.successorDigest };
  }

  async update(
    ticket: Pick<Ticket, "sessionId">,
    overrides: Partial<UpdateCommand> = {},
  ): Promise<UpdateResult> {
    return await this.store.sessions.update({
      sessionId: ticket.sessionId,
      facts: Buffer.from("new facts"),
      expectedVersion: 1,
      invalidateCaches: false,
      request: undefined,
      eventId: this.#eventId(),
      ...overrides,
    });
  }

  async revoke(
    ticket: Pick<Ticket, "sessionId">,
    overrides: {
      readonly presentedDigest?: string;
      readonly cause?: RevocationCause;
      readonly request?: RequestRecord;
      readonly eventId?: string;
      readonly audit?: AuditOrigin;
    } = {},
  ): Promise<RevokeResult> {
    return await this.store.sessions.revoke({
      sessionId: ticket.sessionId,
      presentedDigest: undefined,
      cause: cause(),
      request: undefined,
      eventId: this.#eventId(),
      ...overrides,
    });
  }

  async revokeSubject(
    overrides: {
      readonly subject?: string;
      readonly exceptSessionId?: string;
      readonly cause?: RevocationCause;
      readonly request?: RequestRecord;
      readonly audit?: AuditOrigin;
    } = {},
  ): Promise<RevokeScopeResult> {
    const { subject = SUBJECT, exceptSessionId, ...rest } = overrides;
    return await this.revokeScope(
      { kind: "subject", tenantId: TENANT, subject, exceptSessionId },
      rest,
    );
  }

  async revokeTenant(
    overrides: {
      readonly tenantId?: string;
      readonly clientId?: string;
      readonly createdBeforeMs?: number;
    } = {},
  ): Promise<RevokeScopeResult> {
    const { tenantId = TENANT, clientId = "", createdBeforeMs } = overrides;
    return await this.revokeScope({ kind: "tenant", tenantId, clientId, createdBeforeMs });
  }

  async revokeScope(
    scope: Parameters<Store["sessions"]["revokeScope"]>[0]["scope"],
    overrides: {
      readonly cause?: RevocationCause;
      readonly request?: RequestRecord;
      readonly audit?: AuditOrigin;
    } = {},
  ): Promise<RevokeScopeResult> {
    return await this.store.sessions.revokeScope({
      partition: PARTITION,
      scope,
      cause: cause(),
      request: undefined,
      eventId: this.#eventId(),
      ...overrides,
    });
  }

  deviceCommand(overrides: Partial<RevokeDeviceCommand> = {}): RevokeDeviceCommand {
    return {
      tenantId: TENANT,
      subject: SUBJECT,
      deviceId: "laptop",
      progress: undefined,
      cause: cause(),
      request: undefined,
      eventId: this.#eventId(),
      ...overrides,
    };
  }

  #eventId(): string {
    this.#events += 1;
    return `event-${this.#events}`;
  }
}

/** Registers a fact of the contract as a test with a store of its own. */
export type Fact = (
  name: string,
  body: (world: World) => Promise<void>,
  options?: Partial<StoreOptions>,
) => void;

/** Makes `fact`: one fresh store a test, closed whatever happens, exceptions left out. */
export function factsOf(createHarness: CreateHarness, { except = {} }: ContractOptions): Fact {
  return (name, body, options) => {
    if (name in except) {
      return;
    }
    it(name, async () => {
      const world = await World.open(createHarness, options);
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };
}

/** Narrows a result to the kind the test is about; any other fails it. */
export function mustBe<T extends { readonly kind: string }, K extends T["kind"]>(
  result: T,
  kind: K,
): T & { readonly kind: K } {
  if (!isKind(result, kind)) {
    expect.fail(`Expected ${kind}, got ${JSON.stringify(result)}`);
  }
  return result;
}

function isKind<T extends { readonly kind: string }, K extends T["kind"]>(
  result: T,
  kind: K,
): result is T & { readonly kind: K } {
  return result.kind === kind;
}
