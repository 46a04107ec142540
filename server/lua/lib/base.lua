-- What every script starts from: the keys of its partition, its time, its head.
--
-- KEYS[1] is the head in every script. All keys of a partition begin with the
-- head's name less its last word, so they share its hash tag and its slot.

local head_key = KEYS[1]
local prefix = string.sub(head_key, 1, -5)

local head = {}
local now

-- Cutoff fields of the head that were read, by name; false where there is none.
local cutoffs = {}

local function session_key(id)
  return prefix .. 's:' .. id
end

local function index_key(subject)
  return prefix .. 'u:' .. subject
end

-- A whole number as text. `tostring` and `..` write 1.76e+15 for a generation.
local function text(number)
  return string.format('%.0f', number)
end

local function place()
  return text(head.gen) .. '-' .. text(head.seq)
end

-- On the hot path: a pattern takes longer.
local function parse_revision(revision)
  local dash = string.find(revision, '-', 1, true)
  return tonumber(string.sub(revision, 1, dash - 1)), tonumber(string.sub(revision, dash + 1))
end

local function is_before(gen, seq, other_gen, other_seq)
  return gen < other_gen or (gen == other_gen and seq < other_seq)
end

-- Reads the head and the cutoff fields named, in one call, and sets `now`, which
-- never goes back: TIME follows the machine's clock, and that may be set back.
local function load_head(fields)
  local values = redis.call('HMGET', head_key, 'gen', 'seq', 'now', 'rid', 'lmax', unpack(fields))
  local time = redis.call('TIME')
  now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(values[3] or 0))
  head = {
    gen = tonumber(values[1]),
    seq = tonumber(values[2]),
    rid = values[4],
    lmax = values[5] or '0',
  }
  for index = 1, #fields do
    cutoffs[fields[index]] = values[index + 5]
  end
end

-- As load_head, where a missing head means that the data went away under an open
-- partition (FLUSHALL): a pull has to open a generation before anything is said.
local function require_head(fields)
  load_head(fields)
  if not head.gen then
    error({ err = 'CLOSED the partition has no generation' })
  end
end
