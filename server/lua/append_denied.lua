#!lua
-- append_denied: put calls that were refused into the audit trail.
--
-- KEYS[1]  head
-- ARGV[1]  JSON: max (entries kept), calls (a list of { id, method, caller, tenant,
--          session, admin, status }, at most 64)
--
-- Returns nothing.
--
-- Not allow-oom: these are what a stranger can make us write, and a full Redis has
-- its room for revocations.

-- @include lib/base.lua

local command = cjson.decode(ARGV[1])

-- @include lib/audit.lua

require_head({})
for _, call in ipairs(command.calls) do
  append_audit('denied', command.max, call)
end
