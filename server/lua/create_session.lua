#!lua
-- create_session: create a session and apply its subject's limit.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, request, arguments, event; id, token, nonce, recovery;
--          tenant, client, subject (digests; no subject: anonymous), tenant_id,
--          subject_id; audit; device, bind, ip, agent; aal, amr, auth; idle, absolute, touch, grace,
--          window, retention (ms), max, action; share (most sessions of the tenant in
--          this partition, absent: any number); claim (optional)
-- ARGV[5]  facts
--
-- Returns {status, …}
--   "CREATED"     id, nonce, token, ids evicted (with spaces between), revision, the
--                 packed record, and "repeated" or "new"
--   "LIMIT"       the number of live sessions; nothing written
--   "TENANT_FULL" the tenant has its share of sessions; nothing written
--   "SUPERSEDED"  id: created before, and its token is not to be had any more
--   "REUSED"      the request id was used for something else
--   "CLAIMED"     id: a session that another call created under the same claim, and
--                 that lives; nothing written
--   "TAKEN"       the id is taken; nothing written (S-02)
--
-- A repeat is answered before anything is evicted: a client that lost the reply
-- must not lose an older session to its own retry. Not allow-oom: a full Redis
-- takes no new sessions, and still validates and revokes the old.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/index.lua
-- @include lib/end.lua
-- @include lib/revoke.lua
-- @include lib/request.lua

-- The limit is at most 500; the rest is room for sessions that can be recovered.
local WALK_MAX = 1000

require_head({})
open_generation()

local known = recall('create')
if known then
  if known.reused then
    return { 'REUSED' }
  end
  local s = load_sessions({ known[1] })[1]
  if not s or not is_usable(s, known[3]) then
    return { 'SUPERSEDED', known[1] }
  end
  return { 'CREATED', known[1], known[2], known[3], known[4], known[5], pack_record(s, nil), 'repeated' }
end
-- Of two logins that take over from one session only one may evict for it.
local claim_key = command.claim and prefix .. 'r:' .. command.claim
local claimed = claim_key and redis.call('GET', claim_key)
if claimed then
  local s = load_sessions({ claimed })[1]
  if s and not judge(s) then
    return { 'CLAIMED', claimed }
  end
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return { 'TAKEN' }
end

-- The subject's live sessions, oldest first; and what is dead for good: its end is
-- written, and its id leaves the index.
local live, gone = {}, {}
if command.subject ~= '' and command.max > 0 then
  local ids = redis.call('ZREVRANGE', index_key(command.subject), 0, WALK_MAX - 1)
  for position, s in ipairs(load_sessions(ids)) do
    local e = s and judge(s)
    if not s then
      gone[#gone + 1] = { id = ids[position] }
    elseif not e then
      table.insert(live, 1, s)
    else
      local until_ms, recoverable = retained_until(s, e)
      if not recoverable then
        gone[#gone + 1] = { id = s.id, session = s, finish = e, until_ms = until_ms }
      end
    end
  end
end

local excess = command.max > 0 and math.max(#live + 1 - command.max, 0) or 0
if excess > 0 and command.action == 'deny' then
  return { 'LIMIT', text(#live) }
end
if excess > 0 and command.action == 'evict-all' then
  excess = #live
end

-- What this call ends makes room.
if command.share then
  local ending = excess
  for _, entry in ipairs(gone) do
    ending = ending + (entry.session and 1 or 0)
  end
  local counted = tonumber(redis.call('HGET', prefix .. 'c', command.tenant) or 0)
  if counted - ending >= command.share then
    return { 'TENANT_FULL' }
  end
end

local evicted = {}
if excess > 0 then
  if command.action == 'evict-least-recently-used' then
    for position, s in ipairs(live) do
      s.age = position
    end
    table.sort(live, function(a, b)
      return a.last < b.last or (a.last == b.last and a.age < b.age)
    end)
  end
  for position = 1, excess do
    local cause = { reason = 'limit-exceeded', entity = 'policy' }
    revoke(live[position], cause, command.event .. '.' .. position)
    evicted[position] = live[position].id
  end
end

local absolute = now + command.absolute
local kept_until = absolute + math.max(command.retention, command.window)
local fields = {
  'state', 'A', 'token', command.token, 'tenant', command.tenant, 'client', command.client,
  'subject', command.subject, 'issued', place(), 'created', text(now), 'absolute', text(absolute),
  'idle', text(command.idle), 'last', text(now), 'touch', text(command.touch), 'version', '1',
  'updated', text(now), 'tenant_id', command.tenant_id, 'grace', text(command.grace),
  'retention', text(command.retention),
}
local optional = { 'subject_id', 'auth', 'window', 'recovery', 'aal', 'amr', 'bind', 'ip', 'agent', 'device' }
for _, name in ipairs(optional) do
  local value = command[name]
  if value and (value ~= 0 or name == 'auth') and value ~= '' then
    fields[#fields + 1] = name
    fields[#fields + 1] = type(value) == 'number' and text(value) or value
  end
end
fields[#fields + 1] = 'facts'
fields[#fields + 1] = ARGV[5]
audit({
  id = command.event, tenant = command.tenant_id, subject = command.subject_id,
  session = string.sub(KEYS[2], #prefix + 3), rev = place(),
})
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('PEXPIREAT', KEYS[2], text(kept_until))

-- The new id before the dead ones leave: an index that is never empty keeps its cutoff.
local s = load_session(KEYS[2])
if command.subject ~= '' then
  redis.call('ZADD', index_key(command.subject), text(now), s.id)
end
local deadline = command.idle > 0 and math.min(absolute, now + command.idle) or absolute
redis.call('ZADD', prefix .. 'x', text(deadline), counted_member(s))
count(s.tenant)
for _, entry in ipairs(gone) do
  if not entry.session then
    unindex(entry.id, command.subject)
  elseif entry.finish.revision then
    settle(entry.session, entry.finish)
  else
    settle_expiry(entry.session, entry.finish, entry.until_ms)
  end
end
redis.call('HSET', head_key, 'now', text(now))
local longest = tonumber(redis.call('HGET', head_key, 'amax') or 0)
if command.absolute + command.window > longest then
  redis.call('HSET', head_key, 'amax', text(command.absolute + command.window))
end

local result = { s.id, command.nonce, command.token, table.concat(evicted, ' '), place() }
remember('create', result)
if claim_key then
  redis.call('SET', claim_key, s.id, 'PX', REQUEST_TTL_MS)
end
result[#result + 1] = pack_record(s, nil)
result[#result + 1] = 'new'
return { 'CREATED', unpack(result) }
