#!lua flags=allow-oom
-- revoke_scope: end many sessions by a cutoff, however many there are.
--
-- KEYS[1]  head
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, request, arguments, event; scope (subject, tenant,
--          client, all); tenant, client, subject (digests), tenant_id, client_id,
--          subject_id (as the event names them); except (a session id), before (an
--          instant), both optional; reason, entity, user
--
-- Returns {status, …}
--   "REVOKED"     revision, how many ids the subject's index holds, the largest
--                 staleness bound granted
--   "NOT_LIVE"    the session to spare is not live or not of this subject; nothing written
--   "TOO_MANY"    the tenant has as many client cutoffs as are kept: the number
--   "REUSED"      the request id was used for something else
--
-- A session dies where it was issued before the cutoff's revision. The comparison
-- is strict, so a login right after "log out everywhere" lives, in the same
-- millisecond too. The spared session is stamped with the revision itself.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/index.lua
-- @include lib/request.lua

local CLIENT_CUTOFFS_MAX = 1000
local FIELD_OF = {
  subject = 'cut:s:' .. (command.subject or ''),
  tenant = ':t:' .. (command.tenant or ''),
  client = ':c:' .. (command.client or ''),
  all = 'cut:a',
}

require_head({})
open_generation()
local known = recall('scope')
if known then
  return known.reused and { 'REUSED' } or { 'REVOKED', known[1], known[2], head.lmax }
end

local spared
if command.except then
  spared = load_sessions({ command.except })[1]
  if not spared or spared.subject ~= command.subject or judge(spared) then
    return { 'NOT_LIVE' }
  end
end

local field = FIELD_OF[command.scope]
if command.scope == 'tenant' or command.scope == 'client' then
  field = (command.before and 'before' or 'cut') .. field
end
local existing = redis.call('HGET', head_key, field)
local count_field = 'cutn:' .. (command.tenant or '')
if command.scope == 'client' and not existing then
  if tonumber(redis.call('HGET', head_key, count_field) or 0) >= CLIENT_CUTOFFS_MAX then
    return { 'TOO_MANY', text(CLIENT_CUTOFFS_MAX) }
  end
end

-- An instant in the future would end sessions that do not exist yet.
local instant = command.before and math.min(command.before, now)
local event = { 'id', command.event, 'kind', 'revoked', 'reason', command.reason, 'entity', command.entity }
local function tell(name, value)
  event[#event + 1] = name
  event[#event + 1] = value
end
if command.scope == 'all' then
  tell('on', 'all')
else
  tell('tenant', command.tenant_id)
  tell('on', command.scope == 'subject' and 'subject' or 'tenant')
end
if command.scope == 'subject' then
  tell('subject', command.subject_id)
  tell('except', command.except or '')
elseif command.scope ~= 'all' then
  tell('client', command.client_id)
  tell('before', instant and text(instant) or '')
end
local revision = append(event)
audit({
  id = command.event, tenant = command.tenant_id, subject = command.subject_id,
  reason = command.reason, entity = command.entity, rev = revision,
})

-- The greater of the two is kept: an older cutoff over a newer one would bring
-- sessions back to life.
local function is_stronger()
  if not existing then
    return true
  end
  local gen, seq, old_instant = string.match(existing, CUTOFF)
  if instant then
    return instant > tonumber(old_instant)
  end
  return is_before(tonumber(gen), tonumber(seq), head.gen, head.seq)
end

local count = command.scope == 'subject' and redis.call('ZCARD', index_key(command.subject)) or 0
if (command.scope ~= 'subject' or count > 0) and is_stronger() then
  redis.call('HSET', head_key, field, table.concat({
    revision, instant and text(instant) or '-', text(now), command.reason, command.entity,
    command.tenant or '-', command.user,
  }, ' '))
  if command.scope == 'client' and not existing then
    redis.call('HINCRBY', head_key, count_field, 1)
  end
end
if spared then
  redis.call('HSET', spared.key, 'issued', revision)
  count = count - 1
end
local result = { revision, text(count) }
remember('scope', result)
return { 'REVOKED', result[1], result[2], head.lmax }
