#!lua flags=allow-oom
-- read_session: the record of a session, live or ended. Writes nothing.
--
-- KEYS[1]  head
-- KEYS[2]  session
--
-- Returns the record packed as lib/session.lua says, or nil where there is none.

-- @include lib/base.lua
-- @include lib/session.lua

local s = load_session(KEYS[2])
require_head(s and cutoff_fields(s) or {})
return s and pack_record(s, judge(s)) or false
