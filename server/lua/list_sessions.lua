#!lua flags=allow-oom
-- list_sessions: one page of a subject's live sessions, oldest first. Writes nothing.
--
-- KEYS[1]  head
-- KEYS[2]  index of the subject
-- ARGV[1]  most ids to look at
-- ARGV[2]  id to go on after, or empty
-- ARGV[3]  its creation, in ms
--
-- Returns a list: the id and the creation to go on after, both empty on the last
-- page, then for each session its id and its packed record.

-- @include lib/base.lua
-- @include lib/session.lua
-- @include lib/index.lua

require_head({})
local after = ARGV[2] ~= '' and { id = ARGV[2], at = tonumber(ARGV[3]) } or nil
local entries, more = index_page(KEYS[2], after, tonumber(ARGV[1]))
local ids = {}
for position, entry in ipairs(entries) do
  ids[position] = entry.id
end
local last = more and entries[#entries] or nil
local reply = { last and last.id or '', last and text(last.at) or '' }
for position, s in ipairs(load_sessions(ids)) do
  if s and not judge(s) then
    reply[#reply + 1] = ids[position]
    reply[#reply + 1] = pack_record(s, nil)
  end
end
return reply
