#!lua
-- update_session: replace the facts of a live session under a version check.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, request, arguments, event; version (expected), invalidate
-- ARGV[5]  the new facts; absent where they are as they were
--
-- Returns {status, …}
--   "UPDATED"    revision, the packed record
--   "CONFLICT"   the version; nothing written
--   "NOT_LIVE"   the packed record; nothing written
--   "NOT_FOUND"  no such session
--   "REUSED"     the request id was used for something else
--
-- An update that changes nothing writes nothing. Not allow-oom: facts may grow.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/changed.lua
-- @include lib/request.lua

local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
open_generation()
local known = recall('update')
if known and known.reused then
  return { 'REUSED' }
end
if not s then
  return { 'NOT_FOUND' }
end
local e = judge(s)
if known then
  return { 'UPDATED', known[1], pack_record(s, e) }
end
if e then
  return { 'NOT_LIVE', pack_record(s, e) }
end
if s.version ~= command.version then
  return { 'CONFLICT', text(s.version) }
end
if not ARGV[5] then
  return { 'UPDATED', place(), pack_record(s, nil) }
end
local revision = place()
if command.invalidate then
  revision = append_changed(s, command.event, nil)
end
audit_session(s, { id = command.event, rev = revision })
s.facts, s.version, s.updated = ARGV[5], s.version + 1, now
redis.call('HSET', s.key, 'facts', s.facts, 'version', text(s.version), 'updated', text(now))
redis.call('HSET', head_key, 'now', text(now))
remember('update', { revision })
return { 'UPDATED', revision, pack_record(s, nil) }
