#!lua flags=allow-oom
-- revoke_device: one batch of ending a subject's sessions on one device.
--
-- KEYS[1]  head
-- KEYS[2]  index of the subject
-- ARGV[1…3]  as lib/log.lua says
-- ARGV[4]  JSON: partition, request, arguments, event; device; reason, entity, user;
--          progress: absent, or head, at, after_id, after_at, count, revision
--
-- Returns {status, …}
--   "PROGRESS"  "finished" or "more", the head and the instant noted at the first
--               batch, the id and the creation to go on after (both may be empty),
--               the number revoked, the last revision, the largest staleness bound
--   "REUSED"    the request id was used for something else
--
-- What is noted at the first batch bounds all of them: a login that happens in
-- between is not what the caller meant to end.

-- @include lib/base.lua

local command = cjson.decode(ARGV[4])

-- @include lib/log.lua
-- @include lib/audit.lua
-- @include lib/session.lua
-- @include lib/index.lua
-- @include lib/end.lua
-- @include lib/revoke.lua
-- @include lib/request.lua

local BATCH = 100

require_head({})
open_generation()
local known = recall('device')
if known and known.reused then
  return { 'REUSED' }
end
if known and known[1] == 'finished' then
  return { 'PROGRESS', known[1], known[2], known[3], known[4], known[5], known[6], known[7], head.lmax }
end
if known then
  command.progress = {
    head = known[2], at = tonumber(known[3]), after_id = known[4], after_at = tonumber(known[5]),
    count = tonumber(known[6]), revision = known[7],
  }
end
local progress = command.progress
  or { head = place(), at = now, after_id = '', count = 0, revision = place() }

local after = progress.after_id ~= '' and { id = progress.after_id, at = progress.after_at } or nil
local entries, more = index_page(KEYS[2], after, BATCH)
local ids = {}
for position, entry in ipairs(entries) do
  ids[position] = entry.id
end
local noted_gen, noted_seq = parse_revision(progress.head)

-- Whether a session was there at the first batch. The instant tells, and in the same one
-- the place it was issued at; that place alone moves where another revocation spares it.
local function is_older(s)
  return s.created < progress.at
    or (s.created == progress.at and not is_before(noted_gen, noted_seq, s.gen, s.seq))
end

for _, s in ipairs(load_sessions(ids)) do
  local is_meant = s and is_older(s) and redis.call('HGET', s.key, 'device') == command.device
  local e = is_meant and judge(s)
  if is_meant and not (e and e.revision) then
    progress.count = progress.count + 1
    local cause = { reason = command.reason, entity = command.entity, user = command.user }
    progress.revision = revoke(s, cause, command.event .. '.' .. text(progress.count)).revision
  end
end
local last = entries[#entries]
local result = {
  more and 'more' or 'finished', progress.head, text(progress.at),
  last and last.id or progress.after_id, last and text(last.at) or (progress.after_at and text(progress.after_at) or ''),
  text(progress.count), progress.revision,
}
if progress.count > 0 or more then
  remember('device', result)
end
result[#result + 1] = head.lmax
return { 'PROGRESS', unpack(result) }
