#!lua flags=allow-oom
-- rotate_session: install a successor token, or hand out the one that was installed.
--
-- KEYS[1]  head
-- KEYS[2]  session
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, request, arguments, event; id, presented, trigger,
--          successor, nonce, recovery; tenants (digests, absent: any); and where something is raised: version
--          (expected), aal, amr, auth
-- ARGV[5]  the new facts, where something is raised
--
-- Returns {status, …}
--   "ROTATED"     nonce, successor, revision, how long the presented token stays
--                 valid in ms, the packed record
--   "REFUSED"     outcome, the revision of the end if this call was the reuse, and the
--                 packed end if there is one
--   "CONFLICT"    the version; nothing written
--   "SUPERSEDED"  rotated before by this request, and its token is not to be had
--   "REUSED"      the request id was used for something else
--
-- PERIODIC keeps the old token for a grace period and hands every tab the same
-- successor. Any other trigger makes a token of its own, ends all others at once and
-- hands it to nobody but a repeat of the same request: that is fixation defence. A
-- token that comes back 30 s after its validity ended has been in other hands.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/end.lua
-- @include lib/revoke.lua
-- @include lib/changed.lua
-- @include lib/request.lua

local REUSE_TOLERANCE_MS = 30000
local RETIRED_MAX = 4

local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
open_generation()

local function refuse(outcome, e, revision)
  return { 'REFUSED', outcome, revision or '', e and pack_end(e) or '' }
end

local function hand_out(nonce, successor, revision)
  local kind, left = standing(s, command.presented)
  return { 'ROTATED', nonce, successor, revision, text(kind == 'previous' and left or 0), pack_record(s, nil) }
end

if is_foreign(s, command.tenants) then
  return refuse('not-found')
end
local known = recall('rotate')
if known then
  if known.reused then
    return { 'REUSED' }
  end
  if not s or not is_usable(s, known[2]) then
    return { 'SUPERSEDED' }
  end
  return hand_out(known[1], known[2], known[3])
end
if not s then
  return refuse('not-found')
end
local kind, ended_at = standing(s, command.presented)
if kind == 'unknown' then
  return refuse('not-found')
end
local e = judge(s)
if e then
  return refuse(e.outcome, e)
end
if kind == 'retired' then
  if now - ended_at < REUSE_TOLERANCE_MS then
    return refuse('rotated')
  end
  e = revoke(s, { reason = 'token-reuse', entity = 'system' }, command.event)
  return refuse('revoked', e, e.revision)
end

local slots = redis.call('HMGET', s.key, 'prev', 'prev_until', 'retired', 'nonce', 'rotated', 'grace')
local periodic = command.trigger == 'periodic'
if periodic and kind == 'previous' then
  return hand_out(slots[4], s.token, slots[5])
end
if command.version and s.version ~= command.version then
  return { 'CONFLICT', text(s.version) }
end

local revision = append_changed(s, command.event, command.trigger)
audit_session(s, { id = command.event, rev = revision })
local retired = {}
for entry in string.gmatch(slots[3] or '', '%S+') do
  retired[#retired + 1] = entry
end
if slots[1] then
  retired[#retired + 1] = slots[1] .. ':' .. text(math.min(tonumber(slots[2]), now))
end
if periodic then
  redis.call('HSET', s.key, 'prev', s.token, 'prev_until', text(now + tonumber(slots[6])),
    'nonce', command.nonce, 'rotated', revision)
else
  retired[#retired + 1] = s.token .. ':' .. text(now)
  redis.call('HDEL', s.key, 'prev', 'prev_until', 'nonce', 'rotated')
end
while #retired > RETIRED_MAX do
  table.remove(retired, 1)
end
s.token, s.updated = command.successor, now
redis.call('HSET', s.key, 'token', s.token, 'updated', text(now), 'retired', table.concat(retired, ' '))
if command.recovery then
  redis.call('HSET', s.key, 'recovery', command.recovery)
end
if command.version then
  s.facts, s.version, s.auth = ARGV[5], s.version + 1, command.auth
  redis.call('HSET', s.key, 'facts', s.facts, 'version', text(s.version), 'aal', text(command.aal), 'amr', command.amr)
  if command.auth then
    redis.call('HSET', s.key, 'auth', text(command.auth))
  else
    redis.call('HDEL', s.key, 'auth')
  end
end
remember('rotate', { command.nonce, s.token, revision })
return hand_out(command.nonce, s.token, revision)
