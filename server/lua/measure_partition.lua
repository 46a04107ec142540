#!lua flags=allow-oom
-- measure_partition: how much a partition holds, for metrics. Writes nothing.
--
-- KEYS[1]  head
--
-- Returns {live, kept, expired, events}
--   live     sessions without a written end
--   kept     sessions with a record, live or ended
--   expired  sessions whose expiry was written since the data began
--   events   entries of the log

-- @include lib/base.lua

require_head({})
local counts = redis.call('HMGET', head_key, 'live', 'expired')
return {
  text(math.max(0, tonumber(counts[1] or 0))),
  text(redis.call('ZCARD', prefix .. 'x')),
  counts[2] or '0',
  text(redis.call('XLEN', prefix .. 'log')),
}
