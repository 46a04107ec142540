-- The event of a session that lives on but is not what caches hold of it.
local function append_changed(s, event_id, trigger)
  return append({
    'id', event_id, 'kind', 'changed', 'on', 'session', 'session', s.id, 'trigger', trigger or '',
    'tenant', redis.call('HGET', s.key, 'tenant_id'), 'reason', 'unspecified', 'entity', 'unspecified',
  })
end
