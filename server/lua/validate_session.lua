#!lua flags=allow-oom
-- validate_session: answer one token and record its use.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1]  digest of the token
-- ARGV[2]  digest of the tenant
-- ARGV[3]  1: a VALID outcome counts as a use; 0: it does not
-- ARGV[4]  JSON of audience, binding and requirements, or empty
-- ARGV[5]  the revision that the reply must have reached, or empty
--
-- Returns one string, as lib/answer.lua says.
--
-- The key's own TTL is only garbage collection: the deadlines in the record
-- decide. Cutoffs, deadlines and the head are read in the same step, so that the
-- reply can be compared with the log by its revision.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/answer.lua

local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
if is_behind(ARGV[5]) then
  return header(BEHIND, 0)
end
local options = ARGV[4] ~= '' and cjson.decode(ARGV[4]) or nil
local reply = answer(s, ARGV[1], ARGV[2], ARGV[3] == '1', options)
if touched then
  redis.call('HSET', head_key, 'now', text(now))
end
return reply
