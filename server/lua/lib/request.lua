-- What a mutation did, kept for ten minutes under its request id: lines of kind,
-- digest of the deciding arguments, expiry, then the result. No facts, no secrets.

local REQUEST_TTL_MS = 600000

-- Returns nil for a new request, { reused = true } where the id was used for
-- something else, else the result's lines.
local function recall(kind)
  if not command.request then
    return nil
  end
  local value = redis.call('GET', prefix .. 'r:' .. command.request)
  if not value then
    return nil
  end
  local lines = {}
  for line in string.gmatch(value .. '\n', '(.-)\n') do
    lines[#lines + 1] = line
  end
  -- The key's own TTL follows the machine's clock; the partition's decides.
  if now >= tonumber(lines[3]) then
    return nil
  end
  if lines[1] ~= kind or lines[2] ~= command.arguments then
    return { reused = true }
  end
  return { unpack(lines, 4) }
end

local function remember(kind, result)
  if command.request then
    local value = table.concat({ kind, command.arguments, text(now + REQUEST_TTL_MS), unpack(result) }, '\n')
    redis.call('SET', prefix .. 'r:' .. command.request, value, 'PX', REQUEST_TTL_MS)
  end
end
