#!lua flags=allow-oom
-- revoke_session: end one session.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, request, arguments, event; presented (optional), tenants
--          (digests, absent: any); reason, entity, user
--
-- Returns {status, …}
--   "REVOKED"    revision, the largest staleness bound granted
--   "ALREADY"    the revision of its end, the same bound; nothing written
--   "NOT_FOUND"  no such session, or the token is not one of its; nothing written
--   "REUSED"     the request id was used for something else
--
-- Takes an expired record too: it might be recovered otherwise. A retired token is
-- as good as the current one here: whoever holds it may only end the session.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/end.lua
-- @include lib/revoke.lua
-- @include lib/request.lua

local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
open_generation()
if is_foreign(s, command.tenants) then
  return { 'NOT_FOUND' }
end
local known = recall('revoke')
if known then
  return known.reused and { 'REUSED' } or { 'REVOKED', known[1], head.lmax }
end
if not s or (command.presented and standing(s, command.presented) == 'unknown') then
  return { 'NOT_FOUND' }
end
local e = judge(s)
if e and e.revision then
  return { 'ALREADY', e.revision, head.lmax }
end
local cause = { reason = command.reason, entity = command.entity, user = command.user }
local revision = revoke(s, cause, command.event).revision
remember('revoke', { revision })
return { 'REVOKED', revision, head.lmax }
