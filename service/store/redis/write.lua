-- Applies operations in order and atomically; each that is accepted gets the next sequence number.
--
-- KEYS  meta, ids, log, what this write did if it was done before, the job that it is a step of (any
--       key without one), the events of writes, then the record of each operation
-- ARGV  log length where the store has none of its own, the write's mark, the latest time to begin it and how long to remember it (ms),
--       the model of all records ("" where there are none), of a job's step the token of its lease, the
--       job's checkpoint, what of it was and what is done (otherwise "", "", 0, 0), for a write that is
--       done once the fingerprint of its request and what to tell again (otherwise ""), the second model
--       that all records were encoded for ("" without one),
--       then of each operation: "upsert", id, expected version, 11 fields (see HSET), with a second model
--                               its 7 fields (see `second`)
--                           or: "delete", id, expected version
-- Expected version: "" = any, "0" = not stored, otherwise exactly that version.
-- Returns for each operation {1, sequence, created} or {0, current version, 0}; sent a second time it
-- does nothing and returns the same. Done once already by another request, it does nothing and returns
-- what is remembered, as {string}. Too late, it does nothing and returns the server's time (ms); without
-- vectors of the model that is served, or of the one that is about to be, it does nothing and returns
-- that model. A job's step without its lease, or that was made already, does nothing and returns nil.
-- Vectors of a model that is neither are not stored.

local FIELDS, SECOND_FIELDS = 11, 7
local META, IDS, LOG, DONE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local JOB, EVENTS = KEYS[5], KEYS[6]
local length, mark, latest, remember = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local model = ARGV[5]
local token, checkpoint, after, done = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local fingerprint, answer, second = ARGV[10], ARGV[11], ARGV[12]
local outcomes = {}
local at = 13

local before = redis.call('GET', DONE)
if before then
  local did, by = string.match(before, '^([^\n]*)\n?([^\n]*)')
  if by ~= '' and by ~= mark then
    return {before}
  end
  for accepted, number, created in string.gmatch(did, '(%d) (%d+) (%d)') do
    outcomes[#outcomes + 1] = {tonumber(accepted), tonumber(number), tonumber(created)}
  end
  return outcomes
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local at_ms = string.format('%.0f', now)
if now > latest then
  return now
end

if token ~= '' then
  local lease = redis.call('HMGET', JOB, 'state', 'token', 'done')
  if lease[1] ~= 'running' or lease[2] ~= token or (lease[3] or '0') ~= after then
    return false
  end
end

local known = redis.call('HMGET', META, 'model_version', 'target_model', 'target_state', 'sequence',
  'log_entries')
local stored_model, target, last_sequence = known[1], known[2], tonumber(known[4] or '0')
length = known[5] or length
if known[3] == 'preparing' then
  target = false -- not every replica encodes for it yet
end
if model ~= '' then
  local function is_given(name)
    return name == model or name == 'incomplete:' .. model or (second ~= '' and name == second)
  end
  if stored_model and not is_given(stored_model) then
    return stored_model
  end
  if target and not is_given(target) then
    return target
  end
end
-- Whoever writes may not know yet that its own model is served no more.
local keeps_second = second ~= '' and target
local takes_second = second ~= '' and not target and stored_model == second
if takes_second then
  model = second
end

local function next_sequence()
  last_sequence = last_sequence + 1 -- stored at the end, by one command for all operations
  -- %.0f: plain tostring turns to exponents at 10^15.
  return string.format('%.0f', last_sequence)
end

-- Beside the log, which has vectors and is short, for those who are told that something was written.
local function tell(sequence, id, did)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', '%KEPT', sequence .. '-0',
    'id', id, 'did', did, 'at', at_ms)
end

for i = 7, #KEYS do
  local record = KEYS[i]
  local operation, id, expected = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local current = redis.call('HGET', record, 'version') or '0'
  local holds = expected == '' or expected == current
    or (expected == '-1' and current ~= '0')  -- any version that is stored
  if operation == 'delete' then
    if holds and current ~= '0' then
      -- DEL goes first: it is allowed when memory is full, and what follows it in a script then too.
      redis.call('DEL', record)
      redis.call('ZREM', IDS, id)
      local sequence = next_sequence()
      redis.call('XADD', LOG, 'MAXLEN', '~', length, sequence .. '-0', 'mark', mark,
        'op', operation, 'id', id)
      tell(sequence, id, 'deleted')
      outcomes[#outcomes + 1] = {1, tonumber(sequence), 0}
    else
      outcomes[#outcomes + 1] = {0, tonumber(current), 0}
    end
    at = at + 3
  else
    if holds then
      local f = at + 3
      local sequence = next_sequence()
      -- Of the fields that a model makes: embedding, content, facets, status, modalities,
      -- id_embedding, tower_vectors.
      local first = {ARGV[f], ARGV[f + 1], ARGV[f + 2], ARGV[f + 6], ARGV[f + 7], ARGV[f + 8],
        ARGV[f + 10]}
      local other = {unpack(ARGV, f + FIELDS, f + FIELDS + SECOND_FIELDS - 1)}
      if takes_second then
        first = other
      end
      redis.call('HSET', record, 'version', sequence,
        'embedding', first[1], 'content', first[2], 'facets', first[3],
        'profile', ARGV[f + 3], 'digest', ARGV[f + 4], 'model_version', model,
        'status', first[4], 'modalities', first[5], 'id_embedding', first[6],
        'updated_at', ARGV[f + 9])
      -- Most records have none, and an empty field would be stored all the same.
      if first[7] ~= '' then
        redis.call('HSET', record, 'tower_vectors', first[7])
      elseif current ~= '0' then
        redis.call('HDEL', record, 'tower_vectors')
      end
      if keeps_second then
        redis.call('HSET', record, 'next_model_version', second, 'next_version', sequence,
          'next_embedding', other[1], 'next_content', other[2], 'next_facets', other[3],
          'next_status', other[4], 'next_modalities', other[5], 'next_id_embedding', other[6],
          'next_tower_vectors', other[7])
      elseif current ~= '0' and redis.call('HEXISTS', record, 'next_model_version') == 1 then
        redis.call('HDEL', record, 'next_model_version', 'next_version', 'next_embedding',
          'next_content', 'next_facets', 'next_status', 'next_modalities', 'next_id_embedding',
          'next_tower_vectors')
      end
      if current == '0' then
        redis.call('ZADD', IDS, 0, id)
      end
      local logged = {'mark', mark, 'op', operation, 'id', id, 'embedding', first[1],
        'content', first[2], 'facets', first[3], 'model', model}
      if keeps_second then
        for _, each in ipairs({'next_embedding', other[1], 'next_content', other[2],
            'next_facets', other[3], 'next_model', second}) do
          logged[#logged + 1] = each
        end
      end
      redis.call('XADD', LOG, 'MAXLEN', '~', length, sequence .. '-0', unpack(logged))
      tell(sequence, id, current == '0' and 'created' or 'updated')
      outcomes[#outcomes + 1] = {1, tonumber(sequence), current == '0' and 1 or 0}
    else
      outcomes[#outcomes + 1] = {0, tonumber(current), 0}
    end
    at = at + 3 + FIELDS + (second ~= '' and SECOND_FIELDS or 0)
  end
end

local did, changed = {}, false
local counts, last = {created = 0, updated = 0}, 0
for _, outcome in ipairs(outcomes) do
  did[#did + 1] = string.format('%d %.0f %d', outcome[1], outcome[2], outcome[3])
  if outcome[1] == 1 then
    changed, last = true, outcome[2]
    local count = outcome[3] == 1 and 'created' or 'updated'
    counts[count] = counts[count] + 1
  end
end
if changed then
  redis.call('HSET', META, 'sequence', string.format('%.0f', last_sequence), 'mark', mark)
  if model ~= '' and not stored_model then
    redis.call('HSET', META, 'model_version', model)
  end
  local kept = table.concat(did, ',')
  if fingerprint ~= '' then
    kept = table.concat({kept, mark, fingerprint, answer}, '\n')
  end
  redis.call('SET', DONE, kept, 'PX', remember)
end
if token ~= '' then
  redis.call('HSET', JOB, 'checkpoint', checkpoint, 'done', done, 'crashes', '0',
    'updated_at', at_ms)
  redis.call('HINCRBY', JOB, 'created', counts.created)
  redis.call('HINCRBY', JOB, 'updated', counts.updated)
  redis.call('HINCRBY', JOB, 'revision', 1)
  if changed then
    redis.call('HSET', JOB, 'sequence', string.format('%.0f', last))
  end
end
return outcomes
