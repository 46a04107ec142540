#!lua flags=no-writes,allow-oom
-- validate_readonly: answer one token where Redis refuses every write.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1]  digest of the token
-- ARGV[2]  digest of the tenant
-- ARGV[3]  replicas that have to be connected
-- ARGV[4]  JSON of audience, binding and requirements, or empty
-- ARGV[5]  the revision that the reply must have reached, or empty
--
-- Returns one string, as lib/answer.lua says.
--
-- Used only after MISCONF (the disk is full): sessions go on, uses are not
-- recorded. A script without writes also runs on a replica, and on a primary that
-- has lost its replicas, where the answer may be long out of date; so this one asks
-- itself. MISCONF is reported before NOREPLICAS.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/answer.lua

local info = redis.call('INFO', 'replication')
local good = tonumber(string.match(info, 'min_slaves_good_slaves:(%d+)') or 0)
if not string.find(info, 'role:master', 1, true) or good < tonumber(ARGV[3]) then
  return redis.error_reply('NOTPRIMARY this Redis may not be the primary any more')
end
local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
if is_behind(ARGV[5]) then
  return header(BEHIND, 0)
end
local options = ARGV[4] ~= '' and cjson.decode(ARGV[4]) or nil
return answer(s, ARGV[1], ARGV[2], false, options)
