#!lua flags=allow-oom
-- touch_sessions: record uses that caches answered some time ago.
--
-- KEYS[1]   head
-- KEYS[2…]  sessions, one for each use
-- ARGV[1]   digests of the tokens, 64 characters each
-- ARGV[2]   "-" and the digests of the tenants that the caller may touch, with
--           spaces between; empty: any
-- ARGV[3…]  how long ago each use was, in ms
--
-- Returns a string with one byte for each use: its outcome, as lib/session.lua
-- numbers them.
--
-- A session that has died since stays dead: today the use would have been
-- answered differently.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/index.lua

local tenants
if ARGV[2] ~= '' then
  tenants = {}
  for tenant in string.gmatch(ARGV[2], '%S+') do
    tenants[#tenants + 1] = tenant
  end
end
local ids = {}
for position = 2, #KEYS do
  ids[position - 1] = string.sub(KEYS[position], #prefix + 3)
end
require_head({})
local outcomes, touched = {}, false
for position, s in ipairs(load_sessions(ids)) do
  local outcome = 'valid'
  local kind = s and not is_foreign(s, tenants) and standing(s, string.sub(ARGV[1], 64 * position - 63, 64 * position)) or 'unknown'
  local e = kind ~= 'unknown' and judge(s)
  if kind == 'unknown' then
    outcome = 'not-found'
  elseif e then
    outcome = e.outcome
  elseif kind == 'retired' then
    outcome = 'rotated'
  else
    touched = record_use(s, now - tonumber(ARGV[position + 2])) or touched
  end
  outcomes[position] = string.char(outcome_code(outcome))
end
if touched then
  redis.call('HSET', head_key, 'now', text(now))
end
return table.concat(outcomes)
