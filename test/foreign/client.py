"""A client in another language, with nothing of ours but the .proto files and the vectors.

Usage: client.py PROTO_DIR ADDRESS
Generates its stubs from PROTO_DIR, checks the published vectors, then lives through a
whole session life at ADDRESS while it reads the revocation stream. Prints one line for
each fact it has seen; any other outcome is an exception and exit code 1.
"""

import hashlib
import hmac
import json
import os
import pathlib
import queue
import sys
import tempfile
import threading
import zlib

import grpc
from grpc_tools import protoc

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(value, width):
    text = ""
    while value > 0:
        value, digit = divmod(value, 62)
        text = ALPHABET[digit] + text
    return text.rjust(width, "0")


def format_token(prefix, session_id, secret):
    body = prefix + session_id + secret
    return body + base62(zlib.crc32(body.encode()), 6)


def parse_token(token):
    """(session id, secret), or None where the token is malformed."""
    if len(token) != 77 or not token.startswith("cc1_") or not token[4:].isalnum():
        return None
    session_id, secret = token[4:28], token[28:71]
    head = session_id[:2]
    if any(c not in "0123456789abcdef" for c in head) or int(head, 16) >= 16:
        return None
    return (session_id, secret) if format_token("cc1_", session_id, secret) == token else None


def derive(key, nonce):
    digest = hmac.new(key, nonce, hashlib.sha256).digest()
    return base62(int.from_bytes(digest, "big"), 43)


def hash_parts(*parts):
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode()
        sha.update(len(data).to_bytes(4, "big") + data)
    return sha.digest()


def check_vectors(path):
    vectors = json.loads(path.read_text())
    for v in vectors["tokens"]:
        secret = base62(int(v["secret_bytes"], 16), 43)
        assert secret == v["secret"]
        assert format_token("cc1_", v["session_id"], secret) == v["token"]
        assert format_token("ccr1_", v["session_id"], secret) == v["recovery_token"]
        assert hashlib.sha256(v["token"].encode()).hexdigest() == v["digest"]
        assert parse_token(v["token"]) == (v["session_id"], secret)
        assert int(v["session_id"][:2], 16) == v["partition"]
    for v in vectors["malformed"]:
        assert parse_token(v["token"]) is None, v["why"]
    for v in vectors["creations"]:
        key, nonce = bytes.fromhex(v["retry_secret"]), bytes.fromhex(v["nonce"])
        assert format_token("cc1_", v["session_id"], derive(key, nonce)) == v["token"]
        assert format_token("ccr1_", v["session_id"], derive(key, nonce + b"r")) == v["recovery_token"]
    for v in vectors["successors"]:
        session_id, secret = parse_token(v["presented"])
        key, nonce = secret.encode(), bytes.fromhex(v["nonce"])
        assert format_token("cc1_", session_id, derive(key, nonce)) == v["token"]
        assert format_token("ccr1_", session_id, derive(key, nonce + b"r")) == v["recovery_token"]
        stored = hashlib.sha256(v["presented"].encode()).digest()
        assert format_token("cc1_", session_id, derive(stored, nonce)) == v["never"] != v["token"]
    for v in vectors["partitions"]:
        digest = hash_parts(v["tenant_id"], v["subject"])
        assert digest[0] & 15 == v["partition"]
    print(f"vectors: {sum(len(group) for group in vectors.values())} hold")


def generate(proto_dir, out):
    files = [str(p) for p in proto_dir.rglob("*.proto")]
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        ["protoc", f"-I{proto_dir}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}"]
        + files
    )
    assert code == 0, "protoc failed"
    sys.path.insert(0, out)
    print(f"stubs: generated from {len(files)} files")


def live_through_it(address):
    from coatcheck.v1 import revocation_service_pb2 as rev
    from coatcheck.v1 import revocation_service_pb2_grpc as rev_grpc
    from coatcheck.v1 import session_pb2 as ses
    from coatcheck.v1 import session_service_pb2 as svc
    from coatcheck.v1 import session_service_pb2_grpc as svc_grpc
    from google.rpc import error_details_pb2, status_pb2

    channel = grpc.insecure_channel(address)
    sessions = svc_grpc.SessionServiceStub(channel)
    revocations = rev_grpc.RevocationServiceStub(channel)
    tenant, subject = "acme", "foreign-user-" + os.urandom(4).hex()

    arrived = queue.Queue()
    stream = revocations.WatchRevocations(
        rev.WatchRevocationsRequest(tenant_ids=[tenant], client_name="foreign", instance_id="1")
    )

    def read():
        try:
            for message in stream:
                arrived.put(message)
        except grpc.RpcError:
            pass

    threading.Thread(target=read, daemon=True).start()
    opened = arrived.get(timeout=10)
    assert opened.WhichOneof("body") == "opened" and len(opened.opened.position) == 16

    def event(session_id, kind):
        while True:
            message = arrived.get(timeout=10)
            if message.WhichOneof("body") == "batch":
                for e in message.batch.events:
                    if e.session.session_id == session_id and e.kind == kind:
                        return e

    retry_secret = os.urandom(32)
    request = svc.CreateSessionRequest(
        tenant_id=tenant, subject=subject, client_id="python", request_id="create-1",
        retry_secret=retry_secret, attributes={"lang": "python"}, aal=1, amr=["pwd"],
    )
    created = sessions.CreateSession(request)
    session_id = created.session.session_id
    assert parse_token(created.token)[0] == session_id
    assert int(session_id[:2], 16) == hash_parts(tenant, subject)[0] & 15
    assert created.session.state == ses.SESSION_STATE_ACTIVE
    assert sessions.CreateSession(request).token == created.token
    print("create: one session, a repeat is handed the same token")

    def validate(token, **more):
        return sessions.ValidateSession(
            svc.ValidateSessionRequest(tenant_id=tenant, token=token, **more)
        )

    valid = validate(created.token)
    assert valid.outcome == ses.VALIDATION_OUTCOME_VALID
    assert valid.session.attributes["lang"] == "python" and valid.session.subject == subject
    assert valid.session.HasField("created_at") and valid.valid_for.seconds > 0
    assert validate("nonsense").outcome == ses.VALIDATION_OUTCOME_MALFORMED
    strict = validate(created.token, requirements=svc.Requirements(min_aal=2))
    assert strict.outcome == ses.VALIDATION_OUTCOME_INSUFFICIENT_AAL
    print("validate: VALID with facts, MALFORMED, INSUFFICIENT_AAL")

    batch = sessions.BatchValidateSessions(
        svc.BatchValidateSessionsRequest(
            items=[svc.ValidateSessionRequest(tenant_id=t, token=created.token) for t in (tenant, "other")]
        )
    )
    assert [i.response.outcome for i in batch.items] == [
        ses.VALIDATION_OUTCOME_VALID, ses.VALIDATION_OUTCOME_NOT_FOUND,
    ]
    touched = sessions.TouchSessions(
        svc.TouchSessionsRequest(
            items=[
                svc.TouchSessionsRequest.Item(
                    session_id=session_id, token_sha256=hashlib.sha256(created.token.encode()).digest()
                )
            ]
        )
    )
    assert list(touched.outcomes) == [ses.VALIDATION_OUTCOME_VALID]
    listed = sessions.ListSessions(svc.ListSessionsRequest(tenant_id=tenant, subject=subject))
    assert [s.session_id for s in listed.sessions] == [session_id]
    print("batch, touch, list: agree")

    updated = sessions.UpdateSession(
        svc.UpdateSessionRequest(
            session_id=session_id, set={"theme": "dark"}, remove=["lang"], invalidate_caches=True
        )
    )
    assert dict(updated.session.attributes) == {"theme": "dark"} and updated.session.version == 2
    assert event(session_id, rev.REVOCATION_EVENT_KIND_CHANGED).revision == updated.revision
    print("update: attributes changed, CHANGED on the stream")

    rotated = sessions.RotateSession(
        svc.RotateSessionRequest(token=created.token, trigger=ses.ROTATION_TRIGGER_LOGIN, aal=2, amr=["pwd", "otp"])
    )
    assert rotated.outcome == ses.VALIDATION_OUTCOME_VALID and rotated.session.session_id == session_id
    assert validate(created.token).outcome == ses.VALIDATION_OUTCOME_ROTATED
    assert validate(rotated.token, requirements=svc.Requirements(min_aal=2)).outcome == ses.VALIDATION_OUTCOME_VALID
    assert event(session_id, rev.REVOCATION_EVENT_KIND_CHANGED).trigger == ses.ROTATION_TRIGGER_LOGIN
    print("rotate: the old token is dead at once")

    revoked = sessions.RevokeSession(
        svc.RevokeSessionRequest(session_id=session_id, reason=ses.REVOCATION_REASON_USER_LOGOUT)
    )
    assert revoked.found and not revoked.already_revoked and revoked.effective_within.seconds > 0
    after = validate(rotated.token)
    assert after.outcome == ses.VALIDATION_OUTCOME_REVOKED
    assert after.ended.reason == ses.REVOCATION_REASON_USER_LOGOUT
    seen = event(session_id, rev.REVOCATION_EVENT_KIND_REVOKED)
    assert seen.revision == revoked.revision and seen.tenant_id == tenant
    got = sessions.GetSession(svc.GetSessionRequest(session_id=session_id)).session
    assert got.state == ses.SESSION_STATE_REVOKED
    print("revoke: final, REVOKED on the stream, the record explains itself")

    sync = revocations.SyncRevocations(
        rev.SyncRevocationsRequest(
            position=opened.opened.position, tenant_ids=[tenant],
            deployment_id=opened.opened.deployment_id, client_name="foreign", instance_id="1",
        )
    )
    mine = [e for e in sync.events if e.session.session_id == session_id]
    assert len(mine) == 3 and len(sync.heads) == 16 and sync.max_staleness.seconds > 0
    print("sync: the same events after the same position")

    try:
        sessions.CreateSession(svc.CreateSessionRequest(subject=subject))
        raise AssertionError("a session without a tenant was created")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        assert status_pb2.Status.FromString(trailer).details[0].Unpack(info)
        assert (info.reason, info.domain) == ("INVALID_FIELD", "coatcheck")
        assert info.metadata["field"] == "tenant_id"
    print("errors: ErrorInfo names the field")

    health = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert health(b"") == b"\x08\x01"
    print("health: SERVING")
    stream.cancel()


def main():
    proto_dir, address = pathlib.Path(sys.argv[1]), sys.argv[2]
    check_vectors(proto_dir / "vectors" / "tokens.json")
    with tempfile.TemporaryDirectory() as out:
        generate(proto_dir, out)
        live_through_it(address)
    print("done")


main()
