#!lua flags=allow-oom
-- set_incident: put a partition into incident mode for a time, or end it.
--
-- KEYS[1]  head
-- ARGV[1]  JSON: lasts (ms; 0 ends the mode), staleness (ms, absent: as it is), caching,
--          creating (whether each is stopped); event, audit
--
-- Returns the instant at which it ends, 0 where none is running, and the largest
-- staleness bound granted.
--
-- Every pull reads it, so every replica knows within its pull interval. The last one
-- to set it wins, also with less: to tighten further, say all of it.

-- @include lib/base.lua

local command = cjson.decode(ARGV[1])

-- @include lib/audit.lua

require_head({})
local ends = command.lasts > 0 and now + command.lasts or 0
if command.lasts > 0 then
  redis.call('HSET', head_key, 'now', text(now), 'incident', table.concat({
    text(ends), command.staleness and text(command.staleness) or '-',
    command.caching and '1' or '0', command.creating and '1' or '0',
  }, ' '))
else
  redis.call('HDEL', head_key, 'incident')
end
audit({ id = command.event })
return { text(ends), head.lmax }
