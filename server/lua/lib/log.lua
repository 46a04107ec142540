-- The revocation log: generations and appends.
--
-- ARGV[1]  the highest generation that the calling replica has seen
-- ARGV[2]  events kept
-- ARGV[3]  channel to tell of news, or empty
--
-- Redis picks a new replication id at every start and every promotion, so a
-- different id than the head's means that history may have changed: events may be
-- gone. The log then goes on in a new generation, later than any that anybody can
-- have seen, and the place of the change is kept as `fork:<generation>` =
-- `<its last sequence>:<next generation>`.

local FORKS_MAX = 16
local nudged = false

local function nudge()
  if not nudged and ARGV[3] ~= '' then
    nudged = true
    redis.call('PUBLISH', ARGV[3], command.partition)
  end
end

local function record_fork(next_gen)
  local values = redis.call('HMGET', head_key, 'fork:first', 'fork:count')
  local first, count = values[1] or text(head.gen), tonumber(values[2] or 0)
  if count == FORKS_MAX then
    local oldest = redis.call('HGET', head_key, 'fork:' .. first)
    redis.call('HDEL', head_key, 'fork:' .. first)
    first, count = string.match(oldest, ':(%d+)$'), count - 1
  end
  redis.call('HSET', head_key, 'fork:' .. text(head.gen), text(head.seq) .. ':' .. text(next_gen),
    'fork:first', first, 'fork:count', text(count + 1))
end

-- Opens a generation where the history has changed. Call it before the first
-- place of the log is used for anything.
local function open_generation()
  local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  if head.gen and head.rid == rid then
    return
  end
  local time = redis.call('TIME')
  local gen = math.max((head.gen or 0) + 1, time[1] * 1000000 + time[2], tonumber(ARGV[1]) + 1)
  if head.gen then
    record_fork(gen)
  end
  redis.call('HSET', head_key, 'schema', '1', 'gen', text(gen), 'seq', '0', 'rid', rid, 'now', text(now))
  head.gen, head.seq, head.rid = gen, 0, rid
  nudge()
end

-- Appends one event and returns its place. The entry is written before the head:
-- a head without its entry would be a gap that nobody can see.
local function append(fields)
  head.seq = head.seq + 1
  local revision = place()
  redis.call('XADD', prefix .. 'log', 'MAXLEN', '=', ARGV[2], revision, 'at', text(now), unpack(fields))
  redis.call('HSET', head_key, 'seq', text(head.seq), 'now', text(now))
  nudge()
  return revision
end
