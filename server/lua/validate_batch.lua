#!lua flags=allow-oom
-- validate_batch: answer many tokens of one partition, each as if it were alone.
--
-- KEYS[1]   head
-- KEYS[2…]  sessions, one for each token
-- ARGV[1]   digests of the tokens, 64 characters each
-- ARGV[2]   digests of the tenants, 22 characters each
-- ARGV[3]   for each token 1 or 0, as in validate_session
-- ARGV[4]   JSON of the options of those that have any, by number from 1, or empty
-- ARGV[5]   the revision that the replies must have reached, or empty
--
-- Returns a list of strings, as lib/answer.lua says.
--
-- Packed arguments and one read of the head for the cutoffs of all of them are
-- what makes a batch cheaper than its parts.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/index.lua
-- @include lib/answer.lua

local ids = {}
for position = 2, #KEYS do
  ids[position - 1] = string.sub(KEYS[position], #prefix + 3)
end
require_head({})
local sessions = load_sessions(ids)
if is_behind(ARGV[5]) then
  return { header(BEHIND, 0) }
end
local options = ARGV[4] ~= '' and cjson.decode(ARGV[4]) or {}
local replies = {}
for position, s in ipairs(sessions) do
  local digest = string.sub(ARGV[1], 64 * position - 63, 64 * position)
  local tenant = string.sub(ARGV[2], 22 * position - 21, 22 * position)
  local touch = string.sub(ARGV[3], position, position) == '1'
  replies[position] = answer(s, digest, tenant, touch, options[tostring(position)])
end
if touched then
  redis.call('HSET', head_key, 'now', text(now))
end
return replies
