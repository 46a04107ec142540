-- The answer for one token, shared by validate_session, validate_batch and
-- validate_readonly.
--
-- A reply is one string: outcome, flags (1 authenticated_at, 2 grace, 4 end; 8, 16
-- and 32 are warnings for ip, agent and device), the head's two numbers, what the
-- flags announce, and for VALID the packed record. Outcome 255: the log ends
-- before the revision that the caller has seen, and nothing else is said.

local BEHIND = 255
local touched = false

local function header(outcome, flags)
  return struct.pack('<BBdd', outcome, flags, head.gen, head.seq)
end

local function refuse(outcome, e)
  if e then
    return header(outcome_code(outcome), 4) .. pack_end(e)
  end
  return header(outcome_code(outcome), 0)
end

-- Whether the log has not reached `revision`, which may be empty.
local function is_behind(revision)
  if revision == '' then
    return false
  end
  local gen, seq = parse_revision(revision)
  return is_before(head.gen, head.seq, gen, seq)
end

local function is_meant_for(s, audience)
  for _, client in ipairs(audience) do
    if client == s.client then
      return true
    end
  end
  return #audience == 0
end

-- Compares the fields that the session's policy does not leave off. What was not
-- presented is never the same (S-11). Returns whether it is refused, and warnings.
local function compare_binding(s, presented)
  local v = redis.call('HMGET', s.key, 'bind', 'ip', 'agent', 'device')
  if not v[1] then
    return false, 0
  end
  local values = { presented.ip, presented.agent, presented.device }
  local mismatch, warnings = false, 0
  for position = 1, 3 do
    local mode = string.sub(v[1], position, position)
    if mode ~= 'o' and (values[position] == '' or values[position] ~= v[position + 1]) then
      mismatch = mismatch or mode == 'e'
      warnings = warnings + (mode == 'w' and 2 ^ (position + 2) or 0)
    end
  end
  return mismatch, warnings
end

local function knows_methods(amr, required)
  local known = {}
  for _, method in ipairs(amr and cjson.decode(amr) or {}) do
    known[method] = true
  end
  for _, method in ipairs(required) do
    if not known[method] then
      return false
    end
  end
  return true
end

-- A pure AND; a fact that is not known does not hold (S-11).
local function find_lacking(s, asked)
  local v = redis.call('HMGET', s.key, 'aal', 'amr')
  if tonumber(v[1] or 0) < asked.aal or not knows_methods(v[2], asked.amr) then
    return 'insufficient-aal'
  end
  if asked.age and not (s.auth and now - s.auth <= asked.age) then
    return 'authentication-too-old'
  end
  return nil
end

-- `options` is nil or a table of `audience`, `binding`, `requirements`, each optional.
local function answer(s, digest, tenant, touch, options)
  if not s or s.tenant ~= tenant then
    return refuse('not-found')
  end
  local kind, left = standing(s, digest)
  if kind == 'unknown' or (options and options.audience and not is_meant_for(s, options.audience)) then
    return refuse('not-found')
  end
  local e = judge(s)
  if e then
    return refuse(e.outcome, e)
  end
  if kind == 'retired' then
    return refuse('rotated')
  end
  local flags = 0
  if options and options.binding then
    local mismatch, warnings = compare_binding(s, options.binding)
    if mismatch then
      return refuse('binding-mismatch')
    end
    flags = warnings
  end
  local lacking = options and options.requirements and find_lacking(s, options.requirements)
  if lacking then
    return refuse(lacking)
  end
  if touch then
    touched = record_use(s, now) or touched
  end
  flags = flags + (s.auth and 1 or 0) + (kind == 'previous' and 2 or 0)
  return header(0, flags) .. (s.auth and struct.pack('<d', s.auth) or '')
    .. (kind == 'previous' and struct.pack('<d', left) or '') .. pack_record(s, nil)
end
