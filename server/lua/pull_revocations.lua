#!lua flags=allow-oom
-- pull_revocations: the head of the log and the events after a position.
--
-- KEYS[1]  head
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, lmax (the staleness bound of the calling replica),
--          deployment (what to call the data where it has no name; partition 0 only),
--          limit, and gen, seq (the position) unless the head alone is asked for
--
-- Returns {status, …}
--   "SCHEMA"  the data was written by a newer server; the number of its schema follows
--   "PULLED"  head, verdict, through, deployment, entries as XRANGE gives them, and the
--             incident mode as set_incident wrote it, with the time left for its end
--
-- The only way anything reads the log. It is not `no-writes` on purpose: Redis then
-- refuses it on a replica, and a replica's history proves nothing.
--
-- The verdicts are FAULTS.md's resume table. A position of an earlier generation is
-- followed over the forks since; it can go on where each happened at or after it.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua

local schema = redis.call('HGET', head_key, 'schema')
if schema and tonumber(schema) > 1 then
  return { 'SCHEMA', schema }
end
load_head({})
open_generation()
if tonumber(head.lmax) < command.lmax then
  redis.call('HSET', head_key, 'lmax', text(command.lmax))
end
local deployment = ''
if command.deployment then
  redis.call('HSETNX', head_key, 'deployment', command.deployment)
  deployment = redis.call('HGET', head_key, 'deployment')
end

local log_key = prefix .. 'log'

-- Whether the log still has the event at a place, which has been in it.
local function is_retained(gen, seq)
  local first = redis.call('XRANGE', log_key, '-', '+', 'COUNT', 1)[1]
  if not first then
    return false
  end
  local first_gen, first_seq = parse_revision(first[1])
  return not is_before(gen, seq, first_gen, first_seq)
end

-- A generation that this history knows no fork of: older than all of it, or one
-- that was opened on a history that is gone.
local function judge_unknown(gen)
  local oldest = tonumber(redis.call('HGET', head_key, 'fork:first') or nil)
  return oldest and gen > oldest and 'history-forked' or 'too-old'
end

local function decide(gen, seq)
  if is_before(head.gen, head.seq, gen, seq) then
    return 'behind'
  end
  for _ = 0, FORKS_MAX do
    if gen == head.gen then
      return (seq == head.seq or is_retained(gen, seq + 1)) and 'continue' or 'too-old'
    end
    local fork = redis.call('HGET', head_key, 'fork:' .. text(gen))
    if not fork then
      return judge_unknown(gen)
    end
    local last, next_gen = string.match(fork, '^(%d+):(%d+)$')
    if seq > tonumber(last) then
      return 'history-forked'
    end
    if seq < tonumber(last) then
      return is_retained(gen, seq + 1) and 'continue' or 'too-old'
    end
    gen, seq = tonumber(next_gen), 0
  end
  return 'too-old'
end

local verdict, through, entries = 'continue', place(), {}
if command.gen then
  verdict = decide(command.gen, command.seq)
  if verdict == 'continue' then
    local from = '(' .. text(command.gen) .. '-' .. text(command.seq)
    entries = redis.call('XRANGE', log_key, from, '+', 'COUNT', command.limit)
    if #entries == command.limit then
      through = entries[#entries][1]
    end
  end
end
local ends_at, incident = string.match(redis.call('HGET', head_key, 'incident') or '', '^(%d+) (.*)$')
local left = ends_at and tonumber(ends_at) - now or 0
return {
  'PULLED', place(), verdict, through, deployment, entries,
  left > 0 and text(left) .. ' ' .. incident or '',
}
