import { isSessionId } from "./base/token.js";
import type { SessionEnd } from "./base/session.js";
import type { OwnMutation } from "./cache/own-mutations.js";
import type {
  CreateReply,
  RevokeReply,
  RevokeSubjectCall,
  RevokeSubjectReply,
  RotateReply,
} from "./transport/transport.js";

/** Creating may have evicted others of the subject: they have ended. */
export function afterCreate(reply: CreateReply): readonly OwnMutation[] {
  const { revision } = reply;
  if (revision === undefined) return [];
  return reply.evicted.filter(isSessionId).map((sessionId) => ({
    kind: "revoked",
    sessionId,
    // The evictions lie at or before the head that the creation ended at.
    revision,
    end: endedBecause("limit-exceeded"),
  }));
}

/** A rotation makes what is known of the session out of date, ends it, or replaces it. */
export function afterRotate(sessionId: string, reply: RotateReply): readonly OwnMutation[] {
  const { revision, replacedRevision, ended } = reply;
  if (replacedRevision !== undefined) {
    const end = endedBecause("replaced");
    return [{ kind: "revoked", sessionId, revision: replacedRevision, end }];
  }
  if (revision !== undefined && ended?.reason === "token-reuse") {
    return [{ kind: "revoked", sessionId, revision, end: ended }];
  }
  // The revision of a login is the new session's, and says nothing of the one it left behind.
  const isSame = reply.session?.sessionId === sessionId;
  if (revision !== undefined && isSame) {
    return [{ kind: "changed", sessionId, revision }];
  }
  return [{ kind: "uncertain", sessionId }];
}

/** Ended by this call. Where an earlier one had ended it, only the authority knows why. */
export function afterRevoke(
  sessionId: string,
  reply: RevokeReply,
  end: SessionEnd,
): readonly OwnMutation[] {
  const { revision } = reply;
  if (!reply.found || !isSessionId(sessionId)) return [];
  if (revision === undefined) return [{ kind: "uncertain", sessionId }];
  if (reply.alreadyRevoked) return [{ kind: "changed", sessionId, revision }];
  return [{ kind: "revoked", sessionId, revision, end }];
}

/** A cutoff as the log's event will say it; by device, only that some may have ended. */
export function afterRevokeSubject(
  call: RevokeSubjectCall,
  reply: RevokeSubjectReply,
): readonly OwnMutation[] {
  const { tenantId, subject, scope } = call;
  const { revision } = reply;
  if (revision === undefined || scope.kind === "device") {
    return [{ kind: "subject-uncertain", tenantId, subject, revision }];
  }
  const except = scope.kind === "except" ? [scope.sessionId] : [];
  return [
    {
      kind: "cutoff",
      event: {
        revision,
        eventId: "",
        kind: "revoked",
        trigger: undefined,
        target: { kind: "subject", subject, except },
        cutoff: revision,
        tenantId,
        reason: call.reason,
        initiatingEntity: call.initiatingEntity,
        revokedAtMs: undefined,
      },
    },
  ];
}

function endedBecause(reason: SessionEnd["reason"]): SessionEnd {
  return { reason, atMs: undefined, initiatingEntity: "system", reasonUser: "" };
}
