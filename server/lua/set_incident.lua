#!lua flags=allow-oom
-- set_incident: put a partition into incident mode for a time, or end it.
--
-- KEYS[1]  head
-- ARGV[1]  JSON: lasts (ms; 0 ends the mode), staleness (ms, absent: as it is), caching,
--          creating (whether each is stopped); rank, leads; event, audit
--
-- Returns of the mode as it is now the instant at which it ends, 0 where none is
-- running, then the largest staleness bound granted, then its rank.
--
-- Every pull reads it, so every replica knows within its pull interval. The last one
-- to set it wins, also with less: to tighten further, say all of it. Which one is the
-- last is decided by one partition for all of them, or two calls at a time would leave
-- a mixture that neither asked for.

-- @include lib/base.lua

local command = cjson.decode(ARGV[1])

-- @include lib/audit.lua

require_head({})
local held = redis.call('HMGET', head_key, 'incident_rank', 'incident')
local held_rank = tonumber(held[1] or 0)
local rank = command.leads and math.max(now, held_rank + 1, command.rank) or command.rank
if rank <= held_rank then
  local held_ends = tonumber(string.match(held[2] or '', '^%d+') or 0)
  return { held_ends > now and text(held_ends) or '0', head.lmax, text(held_rank) }
end
local ends = command.lasts > 0 and now + command.lasts or 0
redis.call('HSET', head_key, 'now', text(now), 'incident_rank', text(rank))
if command.lasts > 0 then
  redis.call('HSET', head_key, 'incident', table.concat({
    text(ends), command.staleness and text(command.staleness) or '-',
    command.caching and '1' or '0', command.creating and '1' or '0',
  }, ' '))
else
  redis.call('HDEL', head_key, 'incident')
end
audit({ id = command.event })
return { text(ends), head.lmax, text(rank) }
