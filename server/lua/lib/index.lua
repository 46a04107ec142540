-- Walking a subject's index by (creation, id).

-- Bytes, as the index orders them; Lua's `<` on strings follows the locale.
local function is_id_after(id, other)
  for position = 1, math.min(#id, #other) do
    local a, b = string.byte(id, position), string.byte(other, position)
    if a ~= b then
      return a > b
    end
  end
  return #id > #other
end

-- How many ids are at or before a place. The id at the place may have left.
local function rank_after(index, after)
  local rank = redis.call('ZRANK', index, after.id)
  if rank then
    return rank + 1
  end
  local at = text(after.at)
  local start = redis.call('ZCOUNT', index, '-inf', '(' .. at)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, at, at, 'LIMIT', 0, 1000)) do
    if not is_id_after(id, after.id) then
      start = start + 1
    end
  end
  return start
end

-- At most `limit` entries after a place, oldest first: { { id, at }, … } and
-- whether more follow.
local function index_page(index, after, limit)
  local start = after and rank_after(index, after) or 0
  local found = redis.call('ZRANGE', index, start, start + limit, 'WITHSCORES')
  local entries = {}
  for position = 1, math.min(#found, 2 * limit), 2 do
    entries[#entries + 1] = { id = found[position], at = tonumber(found[position + 1]) }
  end
  return entries, #found > 2 * limit
end

-- Loads the sessions of entries or ids, and every cutoff that can cover them, with
-- one read of the head; false where a record is gone. The same id twice is the same
-- table twice, so that the second sees what was done to the first.
local function load_sessions(ids)
  local sessions, fields, loaded = {}, {}, {}
  for position, id in ipairs(ids) do
    local s = loaded[id]
    if s == nil then
      s = load_session(session_key(id)) or false
      loaded[id] = s
    end
    sessions[position] = s
    if s then
      for _, field in ipairs(cutoff_fields(s)) do
        fields[field] = true
      end
    end
  end
  local names = {}
  for field in pairs(fields) do
    names[#names + 1] = field
  end
  -- `unpack` takes 8,000 values at most; 500 sessions of one subject have far fewer.
  for first = 1, #names, 1000 do
    local part = { unpack(names, first, math.min(first + 999, #names)) }
    for position, value in ipairs(redis.call('HMGET', head_key, unpack(part))) do
      cutoffs[part[position]] = value
    end
  end
  return sessions
end
