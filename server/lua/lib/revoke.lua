-- Revoking one session: its event, then its end.
--
-- `cause` is { reason, entity, user, successor }. Returns the end as `judge` does.
local function revoke(s, cause, event_id)
  local revision = append({
    'id', event_id, 'kind', 'revoked', 'on', 'session', 'session', s.id,
    'tenant', redis.call('HGET', s.key, 'tenant_id'), 'reason', cause.reason, 'entity', cause.entity,
  })
  audit_session(s, { id = event_id, reason = cause.reason, entity = cause.entity, rev = revision })
  local e = {
    outcome = cause.reason == 'replaced' and 'rotated' or 'revoked',
    reason = cause.reason, at = now, entity = cause.entity, user = cause.user or '',
    revision = revision, successor = cause.successor,
  }
  settle(s, e)
  return e
end
