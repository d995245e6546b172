-- Stores vectors of the target for streamers that are still at their version, and a job's progress.
--
-- KEYS  meta, the job, then the record of each streamer
-- ARGV  the model, token of the job's lease, the job's checkpoint, what of it was and what is done, then
--       of each streamer its version and 7 fields
-- Returns how many were stored; -1 without the lease, or if the step was made already; -2 if the model
-- is not the target.

local META, JOB = KEYS[1], KEYS[2]
local model, token, checkpoint, after, done = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local FIELDS = {'embedding', 'content', 'facets', 'status', 'modalities', 'id_embedding',
  'tower_vectors', 'model_version'}
local at, stored = 6, 0

local lease = redis.call('HMGET', JOB, 'state', 'token', 'done')
if lease[1] ~= 'running' or lease[2] ~= token or (lease[3] or '0') ~= after then
  return -1
end
local known = redis.call('HMGET', META, 'model_version', 'target_model', 'target_state')
if known[2] ~= model or known[3] == 'preparing' then
  return -2
end

for i = 3, #KEYS do
  local record = KEYS[i]
  local now = redis.call('HMGET', record, 'version', 'model_version', 'next_model_version',
    'next_version')
  -- A release that knows no second vectors leaves them as they are when it writes a record.
  local second = now[4] == now[1] and now[3]
  if now[1] == ARGV[at] and now[2] ~= model and second ~= model then
    -- After an earlier change the first fields may be of a model that is served no more.
    if now[2] ~= known[1] and second == known[1] then
      for _, field in ipairs(FIELDS) do
        local value = redis.call('HGET', record, 'next_' .. field)
        redis.call('HSET', record, field, value or '')
      end
    end
    redis.call('HSET', record, 'next_model_version', model, 'next_version', now[1])
    for j = 1, #FIELDS - 1 do
      redis.call('HSET', record, 'next_' .. FIELDS[j], ARGV[at + j])
    end
    stored = stored + 1
  end
  at = at + #FIELDS
end

local time = redis.call('TIME')
local at_ms = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('HSET', JOB, 'checkpoint', checkpoint, 'done', done, 'crashes', '0', 'updated_at', at_ms)
redis.call('HINCRBY', JOB, 'updated', stored)
redis.call('HINCRBY', JOB, 'revision', 1)
return stored
