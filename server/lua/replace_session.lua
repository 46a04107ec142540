#!lua flags=allow-oom
-- replace_session: end a live session because another took over from it, once.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, event; presented, successor (a session id)
--
-- Returns {status, …}
--   "REPLACED"  revision; also where the same successor took over before
--   "REFUSED"   outcome, and the packed end if there is one; nothing written

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/end.lua
-- @include lib/revoke.lua

local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
open_generation()
local kind = s and standing(s, command.presented) or 'unknown'
if kind == 'unknown' then
  return { 'REFUSED', 'not-found', '' }
end
local e = judge(s)
if e and e.revision and e.successor == command.successor then
  return { 'REPLACED', e.revision }
end
if e then
  return { 'REFUSED', e.outcome, pack_end(e) }
end
if kind == 'retired' then
  return { 'REFUSED', 'rotated', '' }
end
local cause = { reason = 'replaced', entity = 'system', successor = command.successor }
return { 'REPLACED', revoke(s, cause, command.event).revision }
