#!lua flags=allow-oom
-- read_audit: entries of the audit trail, newest first. Writes nothing.
--
-- KEYS[1]  head
-- ARGV[1]  "audit" or "denied"
-- ARGV[2]  where to begin, as XREVRANGE takes it
-- ARGV[3]  most entries
--
-- Returns the entries as XREVRANGE gives them.

-- @include lib/base.lua

require_head({})
return redis.call('XREVRANGE', prefix .. ARGV[1], ARGV[2], '-', 'COUNT', ARGV[3])
