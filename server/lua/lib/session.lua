-- A session's record: reading it, judging it, its tokens, packing it for a reply.

-- The number of an outcome in a reply. A script's tables are made anew at each run, so
-- this one is made only where an answer is not VALID, which is 0.
local function outcome_code(outcome)
  local codes = {
    ['valid'] = 0,
    ['not-found'] = 1,
    ['expired-idle'] = 2,
    ['expired-absolute'] = 3,
    ['revoked'] = 4,
    ['rotated'] = 5,
    ['binding-mismatch'] = 6,
    ['insufficient-aal'] = 7,
    ['authentication-too-old'] = 8,
  }
  return codes[outcome]
end

local function load_session(key)
  local v = redis.call('HMGET', key, 'state', 'token', 'tenant', 'client', 'subject', 'issued', 'created',
    'absolute', 'idle', 'last', 'touch', 'version', 'updated', 'auth', 'facts')
  if not v[1] then
    return nil
  end
  local gen, seq = parse_revision(v[6])
  return {
    key = key,
    id = string.sub(key, #prefix + 3),
    state = v[1],
    token = v[2],
    tenant = v[3],
    client = v[4],
    subject = v[5],
    gen = gen,
    seq = seq,
    created = tonumber(v[7]),
    absolute = tonumber(v[8]),
    idle = tonumber(v[9]),
    last = tonumber(v[10]),
    touch = tonumber(v[11]),
    version = tonumber(v[12]),
    updated = tonumber(v[13]),
    auth = tonumber(v[14] or nil),
    facts = v[15],
  }
end

-- Whether the session is none of the tenants that the caller may touch: digests, or
-- nil for a caller of every tenant. To such a caller it does not exist (S-28). What is
-- gone may have been anybody's, so what is remembered of it is told to nobody else.
local function is_foreign(s, tenants)
  for _, tenant in ipairs(tenants or {}) do
    if s and s.tenant == tenant then
      return false
    end
  end
  return tenants ~= nil
end

-- The names of the head's fields that can cover the session.
local function cutoff_fields(s)
  local fields = {
    'cut:a', 'cut:t:' .. s.tenant, 'cut:c:' .. s.client, 'before:t:' .. s.tenant, 'before:c:' .. s.client,
  }
  if s.subject ~= '' then
    fields[6] = 'cut:s:' .. s.subject
  end
  s.fields = fields
  return fields
end

-- A cutoff: its revision, the instant of a created_before or '-', then what a
-- session that it ended says of its end. The tenant is for the count of clients.
local CUTOFF = '^(%d+)-(%d+) (%S+) (%d+) (%S+) (%S+) (%S+) (.*)$'

-- The cutoff that `value` says, as an end, if it covers the session.
local function covering(s, value)
  local gen, seq, instant, at, reason, entity, _, user = string.match(value, CUTOFF)
  gen, seq = tonumber(gen), tonumber(seq)
  local covers
  if instant == '-' then
    covers = is_before(s.gen, s.seq, gen, seq)
  else
    covers = s.created < tonumber(instant)
  end
  return covers and {
    outcome = 'revoked', reason = reason, at = tonumber(at), entity = entity, user = user,
    revision = text(gen) .. '-' .. text(seq), gen = gen, seq = seq,
  }
end

-- The first cutoff that ended the session.
local function first_cutoff(s)
  local first
  for _, field in ipairs(s.fields) do
    local value = cutoffs[field]
    local e = value and covering(s, value)
    if e and not (first and is_before(first.gen, first.seq, e.gen, e.seq)) then
      first = e
    end
  end
  return first
end

local function expiry(outcome, at)
  return { outcome = outcome, reason = 'unspecified', at = at, entity = 'unspecified', user = '' }
end

local function written_end(s)
  if s.state == 'E' then
    local v = redis.call('HMGET', s.key, 'end_outcome', 'end_at')
    return expiry(v[1], tonumber(v[2]))
  end
  local v = redis.call('HMGET', s.key, 'end_reason', 'end_at', 'end_entity', 'end_user', 'end_rev', 'successor')
  return {
    outcome = v[1] == 'replaced' and 'rotated' or 'revoked',
    reason = v[1], at = tonumber(v[2]), entity = v[3], user = v[4], revision = v[5], successor = v[6],
  }
end

-- Returns nil for a live session, else how it ended: { outcome, reason, at,
-- entity, user, revision, successor }; an expiry has no revision. Its cutoff
-- fields have been loaded. At a deadline the session is past it.
local function judge(s)
  if s.state ~= 'A' then
    return written_end(s)
  end
  local cutoff = first_cutoff(s)
  if cutoff then
    return cutoff
  end
  if now >= s.absolute then
    return expiry('expired-absolute', s.absolute)
  end
  if s.idle > 0 and now >= s.last + s.idle then
    return expiry('expired-idle', s.last + s.idle)
  end
  return nil
end

-- Which of the session's tokens a digest is: 'current'; 'previous' with the rest
-- of its grace; 'retired' with the instant its validity ended; 'unknown'.
local function standing(s, digest)
  if digest == s.token then
    return 'current'
  end
  local v = redis.call('HMGET', s.key, 'prev', 'prev_until', 'retired')
  if v[1] == digest then
    local ends_at = tonumber(v[2])
    if now < ends_at then
      return 'previous', ends_at - now
    end
    return 'retired', ends_at
  end
  local ended_at = v[3] and string.match(v[3], digest .. ':(%d+)')
  if ended_at then
    return 'retired', tonumber(ended_at)
  end
  return 'unknown'
end

-- Whether a token may be handed out (again): its session live, and it valid.
local function is_usable(s, digest)
  if judge(s) then
    return false
  end
  local kind = standing(s, digest)
  return kind == 'current' or kind == 'previous'
end

-- Writes a use at `used_at`, at most once in the touch interval and at least four
-- times in an idle timeout (S-17). Returns whether it did.
local function record_use(s, used_at)
  local interval = s.touch
  if s.idle > 0 then
    interval = math.min(interval, s.idle / 4)
  end
  local elapsed = used_at - s.last
  if elapsed <= 0 or elapsed < interval then
    return false
  end
  s.last = used_at
  redis.call('HSET', s.key, 'last', text(used_at))
  return true
end

local function pack_text(value)
  return struct.pack('<I2', #value) .. value
end

local function pack_end(e)
  return struct.pack('<d', e.at) .. pack_text(e.reason) .. pack_text(e.entity) .. pack_text(e.user)
end

-- One bulk reply instead of a table of fields: the numbers, the end, the facts.
local function pack_record(s, e)
  local state = 0
  if e then
    state = (e.outcome == 'expired-idle' or e.outcome == 'expired-absolute') and 2 or 1
  end
  return struct.pack('<Bddddddddd', state, s.created, s.last, s.idle, s.absolute, s.updated, s.version,
    s.gen, s.seq, now) .. (e and pack_end(e) or '') .. s.facts
end
