import { SessionAuthorityError, type FailureReason } from "#client/base/errors.js";
import type { SyncReply, WatchMessage } from "#client/base/event.js";
import type { Revision } from "#client/base/revision.js";
import type { Session, ValidationOutcome, ValidationReply } from "#client/base/session.js";
import type {
  CallOptions,
  CreateCall,
  CreateReply,
  FollowCall,
  ListReply,
  RevokeCall,
  RevokeReply,
  RevokeSubjectReply,
  RotateReply,
  SessionUse,
  SyncCall,
  Transport,
  UpdateReply,
  ValidateCall,
  WatchListener,
  WatchStream,
} from "#client/transport/transport.js";
import { L_MS, rev, session } from "./fixtures.js";

/** A promise that a test settles. */
export interface Pending<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** A stream that a test speaks on. */
export interface FakeStream {
  readonly call: FollowCall;
  readonly listener: WatchListener;
  isCancelled: boolean;
}

/** A failure as the transport would report it. */
export function failed(reason: FailureReason, retryAfterMs?: number): SessionAuthorityError {
  return new SessionAuthorityError({ reason, applied: "unknown", message: reason, retryAfterMs });
}

/** A promise and its ends. */
export function pending<T>(): Pending<T> {
  let ends: Omit<Pending<T>, "promise"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    ends = { resolve, reject };
  });
  if (ends === undefined) throw new Error("A promise runs its executor at once");
  return { promise, ...ends };
}

/** Every partition at a sequence of one generation. */
export function everywhere(sequence: number, generation = 1): Revision[] {
  return Array.from({ length: 16 }, (_, partition) => rev(sequence, generation, partition));
}

/** An authority of which a test plays the part. What it is not told to do is left waiting. */
export class FakeTransport implements Transport {
  readonly validations: {
    call: ValidateCall;
    options: CallOptions;
    reply: Pending<ValidationReply>;
  }[] = [];
  readonly syncs: { call: SyncCall; options: CallOptions; reply: Pending<SyncReply> }[] = [];
  readonly streams: FakeStream[] = [];
  readonly touches: SessionUse[][] = [];
  readonly creates: CreateCall[] = [];
  readonly revokes: RevokeCall[] = [];
  isClosed = false;
  touchOutcome: ValidationOutcome | Error = "valid";
  createReply: CreateReply | undefined;
  rotateReply: RotateReply | Error = failed("internal");
  revokeReply: RevokeReply | Error = failed("internal");
  revokeSubjectReply: RevokeSubjectReply | Error = failed("internal");
  updateReply: UpdateReply | Error = failed("internal");
  stored: Session = session();
  /** Answers Syncs by itself, at this position. */
  syncAt: Revision[] | undefined = everywhere(0);

  async validate(call: ValidateCall, options: CallOptions): Promise<ValidationReply> {
    const reply = pending<ValidationReply>();
    this.validations.push({ call, options, reply });
    return await reply.promise;
  }

  async touch(uses: readonly SessionUse[]): Promise<readonly ValidationOutcome[]> {
    this.touches.push([...uses]);
    const outcome = await settle(this.touchOutcome);
    return uses.map(() => outcome);
  }

  async create(call: CreateCall): Promise<CreateReply> {
    this.creates.push(call);
    return await settle<CreateReply>(this.createReply ?? failed("internal"));
  }

  async get(): Promise<Session> {
    return await settle(this.stored);
  }

  async list(): Promise<ListReply> {
    return await settle({ sessions: [this.stored], nextPageToken: "" });
  }

  async update(): Promise<UpdateReply> {
    return await settle(this.updateReply);
  }

  async rotate(): Promise<RotateReply> {
    return await settle(this.rotateReply);
  }

  async revoke(call: RevokeCall): Promise<RevokeReply> {
    this.revokes.push(call);
    return await settle(this.revokeReply);
  }

  async revokeSubject(): Promise<RevokeSubjectReply> {
    return await settle(this.revokeSubjectReply);
  }

  async sync(call: SyncCall, options: CallOptions): Promise<SyncReply> {
    const reply = pending<SyncReply>();
    this.syncs.push({ call, options, reply });
    if (this.syncAt !== undefined) reply.resolve(emptySync(this.syncAt));
    return await reply.promise;
  }

  watch(call: FollowCall, listener: WatchListener): WatchStream {
    const stream: FakeStream = { call, listener, isCancelled: false };
    this.streams.push(stream);
    return {
      cancel: () => {
        stream.isCancelled = true;
      },
    };
  }

  close(): void {
    this.isClosed = true;
  }

  /** The latest validation. */
  get lastValidation(): FakeTransport["validations"][number] {
    return latest(this.validations, "validation");
  }

  /** The latest Sync. */
  get lastSync(): FakeTransport["syncs"][number] {
    return latest(this.syncs, "Sync");
  }

  /** The latest stream. */
  get lastStream(): FakeStream {
    return latest(this.streams, "stream");
  }

  /** Says something on the latest stream. */
  say(message: WatchMessage): void {
    this.lastStream.listener.onMessage(message);
  }

  /** Opens the latest stream where every partition is at a sequence. */
  sayOpened(sequence = 0, deploymentId = "d"): void {
    const position = everywhere(sequence);
    this.say({ kind: "opened", position, deploymentId, maxStalenessMs: L_MS });
  }
}

/** A Sync with nothing new. */
export function emptySync(heads: readonly Revision[], deploymentId = "d"): SyncReply {
  return { ranges: [], events: [], heads, resets: [], maxStalenessMs: L_MS, deploymentId };
}

function latest<T>(all: readonly T[], what: string): T {
  const last = all.at(-1);
  if (last === undefined) throw new Error(`There was no ${what}`);
  return last;
}

async function settle<T>(value: T | Error): Promise<T> {
  if (value instanceof Error) return await Promise.reject(value);
  return await Promise.resolve(value);
}
