#!lua flags=allow-oom
-- reap_sessions: delete records whose retention is over, and cutoffs that cover
-- nothing any more.
--
-- KEYS[1]  head
-- ARGV[1]  most sessions to look at
-- ARGV[2]  how long the audit trail is kept, in ms
--
-- Returns how many it looked at.
--
-- The queue `x` holds each session with the next instant at which something can
-- happen to it. A use moves that instant without telling the queue, so the record is
-- read again here and a session that is still alive gets a new one. The member
-- names the subject too, and the tenant while the session counts for it: where the
-- key's TTL came first, its id can still be taken out of the index and the count.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/index.lua
-- @include lib/end.lua

local queue = prefix .. 'x'

local function reap(s, member, tenant)
  local e = judge(s)
  if not e then
    local deadline = s.idle > 0 and math.min(s.absolute, s.last + s.idle) or s.absolute
    redis.call('ZADD', queue, text(deadline), member)
    return
  end
  local until_ms, recoverable = retained_until(s, e)
  if now >= until_ms then
    redis.call('DEL', s.key)
    if s.state == 'A' and not e.revision then
      count_expired()
    end
    unqueue(member, tenant)
    unindex(s.id, s.subject)
    return
  end
  if e.revision and s.state == 'A' then
    settle(s, e)
    return
  end
  if s.state == 'A' and not recoverable then
    settle_expiry(s, e, until_ms)
    return
  end
  redis.call('ZADD', queue, text(until_ms), member)
end

-- What a wider cutoff covers is gone when the longest session ever granted that
-- was issued before it is.
local function drop_cutoff(field, value, longest)
  local is_wide = string.find(field, '^cut:[tca]') or string.find(field, '^before:')
  if not is_wide then
    return
  end
  local _, _, _, at, _, _, tenant = string.match(value, CUTOFF)
  if tonumber(at) >= now - longest then
    return
  end
  redis.call('HDEL', head_key, field)
  if string.find(field, '^%a+:c:') and redis.call('HINCRBY', head_key, 'cutn:' .. tenant, -1) <= 0 then
    redis.call('HDEL', head_key, 'cutn:' .. tenant)
  end
end

require_head({})
local members = redis.call('ZRANGEBYSCORE', queue, '-inf', text(now), 'LIMIT', 0, tonumber(ARGV[1]))
local ids, subjects, tenants = {}, {}, {}
for position, member in ipairs(members) do
  local id, subject, tenant = string.match(member, '^([^:]+):([^:]*):?(.*)$')
  ids[position], subjects[position], tenants[position] = id, subject, tenant ~= '' and tenant or nil
end
for position, s in ipairs(load_sessions(ids)) do
  if s then
    reap(s, members[position], tenants[position])
  else
    unqueue(members[position], tenants[position])
    unindex(ids[position], subjects[position])
  end
end

local v = redis.call('HMGET', head_key, 'amax', 'scan')
local cursor = v[2] or '0'
local scanned = redis.call('HSCAN', head_key, cursor, 'COUNT', 100)
for position = 1, #scanned[2], 2 do
  drop_cutoff(scanned[2][position], scanned[2][position + 1], tonumber(v[1] or 0))
end
if scanned[1] ~= cursor then
  redis.call('HSET', head_key, 'scan', scanned[1])
end
for _, stream in ipairs({ 'audit', 'denied' }) do
  redis.call('XTRIM', prefix .. stream, 'MINID', '=', text(math.max(0, now - tonumber(ARGV[2]))))
end
if #members > 0 then
  redis.call('HSET', head_key, 'now', text(now))
end
return #members
