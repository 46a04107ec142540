-- Ending sessions. An end is never written without its event, and an id leaves
-- its subject's index only with its end or its record: what is in neither could
-- not be reached by a revocation of the subject.

local function deadlines_member(s)
  return s.id .. ':' .. s.subject
end

-- A session counts for its tenant exactly as long as the queue holds it under this
-- longer name: leaving it is what lowers the count, so nothing lowers it twice.
local function counted_member(s)
  return deadlines_member(s) .. ':' .. s.tenant
end

local function count(tenant)
  redis.call('HINCRBY', prefix .. 'c', tenant, 1)
  redis.call('HINCRBY', head_key, 'live', 1)
end

-- For the metrics alone: clients know the deadlines.
local function count_expired()
  redis.call('HINCRBY', head_key, 'expired', 1)
end

-- Takes a member out of the queue; `tenant` is nil where it did not count.
local function unqueue(member, tenant)
  if redis.call('ZREM', prefix .. 'x', member) == 0 or not tenant then
    return
  end
  redis.call('HINCRBY', head_key, 'live', -1)
  if redis.call('HINCRBY', prefix .. 'c', tenant, -1) <= 0 then
    redis.call('HDEL', prefix .. 'c', tenant)
  end
end

-- Takes an id out of its subject's index, and with the last one the subject's
-- cutoff: there is nothing left that it could end.
local function unindex(id, subject)
  if subject == '' then
    return
  end
  local index = index_key(subject)
  if redis.call('ZREM', index, id) == 1 and redis.call('EXISTS', index) == 0 then
    redis.call('HDEL', head_key, 'cut:s:' .. subject)
  end
end

-- Writes an end that has its event already. The reaper comes after the retention.
local function settle(s, e)
  s.state = 'R'
  redis.call('HSET', s.key, 'state', 'R', 'end_reason', e.reason, 'end_at', text(e.at),
    'end_entity', e.entity, 'end_user', e.user, 'end_rev', e.revision)
  if e.successor then
    redis.call('HSET', s.key, 'successor', e.successor)
  end
  unindex(s.id, s.subject)
  unqueue(counted_member(s), s.tenant)
  local retention = tonumber(redis.call('HGET', s.key, 'retention'))
  redis.call('ZADD', prefix .. 'x', text(e.at + retention), deadlines_member(s))
end

-- Writes an expiry that nothing takes back. It has no event, as clients know the
-- deadlines; but an id that left the index without an end would be under a cutoff
-- of its subject for as long as others keep that alive, and expired again later.
local function settle_expiry(s, e, until_ms)
  s.state = 'E'
  redis.call('HSET', s.key, 'state', 'E', 'end_outcome', e.outcome, 'end_at', text(e.at))
  count_expired()
  unindex(s.id, s.subject)
  unqueue(counted_member(s), s.tenant)
  redis.call('ZADD', prefix .. 'x', text(until_ms), deadlines_member(s))
end

-- Dead for good: nothing brings the session back, not even a recovery.
local function retained_until(s, e)
  local v = redis.call('HMGET', s.key, 'retention', 'window')
  local window = tonumber(v[2] or 0)
  if e.outcome == 'expired-idle' and window > 0 then
    return e.at + window, now < e.at + window
  end
  return e.at + tonumber(v[1]), false
end
