#!lua flags=allow-oom
-- reap_sessions: delete records whose retention is over, and cutoffs that cover
-- nothing any more.
--
-- KEYS[1]  head
-- ARGV[1]  most sessions to look at
--
-- Returns how many it looked at.
--
-- The queue `x` holds each session with the next instant at which something can
-- happen to it. A use moves that instant without telling the queue, so the record is
-- read again here and a session that is still alive gets a new one. The member
-- names the subject too: where the key's TTL came first, its id can still be taken
-- out of the index.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/index.lua
-- @include lib/end.lua

local queue = prefix .. 'x'

local function reap(s, member)
  local e = judge(s)
  if not e then
    local deadline = s.idle > 0 and math.min(s.absolute, s.last + s.idle) or s.absolute
    redis.call('ZADD', queue, text(deadline), member)
    return
  end
  local until_ms, recoverable = retained_until(s, e)
  if now >= until_ms then
    redis.call('DEL', s.key)
    redis.call('ZREM', queue, member)
    unindex(s.id, s.subject)
    return
  end
  if e.revision and s.state == 'A' then
    settle(s, e)
    return
  end
  if s.state == 'A' and not recoverable then
    settle_expiry(s, e)
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
local ids, subjects = {}, {}
for position, member in ipairs(members) do
  ids[position], subjects[position] = string.match(member, '^([^:]+):(.*)$')
end
for position, s in ipairs(load_sessions(ids)) do
  if s then
    reap(s, members[position])
  else
    redis.call('ZREM', queue, members[position])
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
if #members > 0 then
  redis.call('HSET', head_key, 'now', text(now))
end
return #members
