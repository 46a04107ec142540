-- The audit trail: who changed what, written in the step that changes it.
--
-- There are two streams a partition: `audit` for changes and `denied` for calls that
-- were refused, so that a flood of the second cannot push out the first. Each entry
-- ends in `chain` = sha1(chain of the entry before, instant, fields), and the head
-- holds the newest of each stream as `<instant> <chain>`: what was edited, removed or
-- put in between no longer fits. SHA-1 because it is what Redis gives a script, and
-- whoever can write here can also chain anew: the trail shows tampering to those who
-- noted an earlier chain elsewhere.
--
-- `command.audit` is { method, caller, admin, max }; without it nothing is written.

local AUDIT_FIELDS = {
  'id', 'method', 'caller', 'tenant', 'subject', 'session', 'reason', 'entity', 'admin', 'rev', 'status',
}

-- An instant never goes back, not even where the partition's time was set back.
local function append_audit(stream, max, entry)
  local last = redis.call('HGET', head_key, stream)
  local last_at, chain = '0', ''
  if last then
    last_at, chain = string.match(last, '^(%d+) (%x+)$')
  end
  local at = text(math.max(now, tonumber(last_at)))
  local content, fields = { chain, at }, {}
  for _, name in ipairs(AUDIT_FIELDS) do
    local value = entry[name]
    if value and value ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
      content[#content + 1] = name .. ' ' .. #value .. ':' .. value
    end
  end
  chain = redis.sha1hex(table.concat(content, '\n'))
  fields[#fields + 1] = 'chain'
  fields[#fields + 1] = chain
  redis.call('XADD', prefix .. stream, 'MAXLEN', '=', max, at .. '-*', unpack(fields))
  redis.call('HSET', head_key, stream, at .. ' ' .. chain, 'now', text(now))
end

-- One change by the calling service. `entry` is { id, tenant, subject, session,
-- reason, entity, rev }, each but the id optional.
local function audit(entry)
  local origin = command.audit
  if origin then
    entry.method, entry.caller, entry.admin = origin.method, origin.caller, origin.admin
    append_audit('audit', origin.max, entry)
  end
end

-- The same of a session that is in the store.
local function audit_session(s, entry)
  if command.audit then
    local v = redis.call('HMGET', s.key, 'tenant_id', 'subject_id')
    entry.session, entry.tenant, entry.subject = s.id, v[1], v[2]
    audit(entry)
  end
end
