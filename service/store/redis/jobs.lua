-- One step of a job: it is checked and changed atomically, by the server's clock.
--
-- KEYS  job, ids of all jobs, ids of those that are queued or running, ids of those that are finished
--       by when that was, by kind the job that runs where only one of its kind may (and until when its
--       lease lasts), for submit the job of a request that is carried out once (any key without one)
-- ARGV  operation, job id, lease (ms), most queued or running, most kept (those that finished first
--       go), time to keep a finished job (ms), most crashes, then
--       submit:  fingerprint of a request that is carried out once ("" without one), how long to
--                remember it (ms), pairs of fields    returns 1, or 0 if there are too many, or of one
--                                                     that was carried out "job id fingerprint"
--       claim:   place, error of one given up, 1 if only one of its kind may run, name of the claim
--                                                     returns all fields and their values if the lease
--                                                     begins, or began by this claim, or if the job
--                                                     is given up and has failed; otherwise 0
--       hold:    token                                returns 1, 2 if it is to be cancelled, 0 if lost
--       advance: token, pairs of fields               returns 1, or 0 if lost
--       release: token                                returns 1, or 0 if lost
--       finish:  token, state, pairs of fields        returns 1, or 0 if lost
--       cancel                                        returns 1
--       retry:   pairs of fields                      returns 1, or 0 if there are too many
--       forget                                        returns 1, or 0 if it is not finished
-- A job whose field `restart` is 1 begins anew when it is retried. While a job runs, write.lua adds to
-- its `created` and `updated`, and sets `checkpoint`, `done` and `sequence`.

local JOB, IDS, ACTIVE, FINISHED, ALONE, ONCE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local operation, id = ARGV[1], ARGV[2]
local lease, most_active, most_kept = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local keep, most_crashes = tonumber(ARGV[6]), tonumber(ARGV[7])
local FIRST = 8

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function text(number)
  return string.format('%.0f', number) -- plain tostring turns to exponents
end

local function set(...)
  redis.call('HSET', JOB, 'updated_at', text(now), ...)
  redis.call('HINCRBY', JOB, 'revision', 1)
end

local function set_fields(from)
  if from <= #ARGV then
    set(unpack(ARGV, from))
  end
end

-- Whether a lease lasts. One that began later than now, by a clock that was set back since, begins
-- now: a runner that lives gives a sign in time, and one that died is not waited for any longer.
local function lasts(key, until_field, from_field)
  local known = redis.call('HMGET', key, until_field, from_field)
  local ends, began = tonumber(known[1]) or 0, tonumber(known[2]) or now
  if began > now then
    ends = now + ends - began
    redis.call('HSET', key, until_field, text(ends), from_field, text(now))
  end
  return ends > now
end

local function is_held()
  return lasts(JOB, 'lease_until', 'lease_from')
end

-- Of a job beside which no other of its kind may run: whether another one does.
local function other_runs(kind)
  local other = redis.call('HGET', ALONE, kind)
  return other and other ~= id and lasts(ALONE, kind .. ':until', kind .. ':from')
end

-- Of such a job: keep the others off, or no longer.
local function hold_alone(ends)
  local job = redis.call('HMGET', JOB, 'kind', 'alone')
  local kind, is_its = job[1], redis.call('HGET', ALONE, job[1]) == id
  if ends and (is_its or job[2] == '1') then
    redis.call('HSET', ALONE, kind, id, kind .. ':until', text(ends), kind .. ':from', text(now))
  elseif is_its and not ends then
    redis.call('HDEL', ALONE, kind, kind .. ':until', kind .. ':from')
  end
end

local function hold()
  redis.call('HSET', JOB, 'lease_until', text(now + lease), 'lease_from', text(now))
  hold_alone(now + lease)
end

local function finish(state, from)
  hold_alone(nil)
  set('state', state, 'cancelling', '0')
  set_fields(from)
  redis.call('ZREM', ACTIVE, id)
  redis.call('ZADD', FINISHED, now, id)
  redis.call('PEXPIRE', JOB, keep)
end

-- The job that finished first. Of those that an earlier release finished it is not known when: they
-- come before, in the order of their ids.
local function finished_first()
  if redis.call('ZCARD', IDS) > redis.call('ZCARD', ACTIVE) + redis.call('ZCARD', FINISHED) then
    for _, other in ipairs(redis.call('ZRANGE', IDS, 0, -1)) do
      if not redis.call('ZSCORE', ACTIVE, other) and not redis.call('ZSCORE', FINISHED, other) then
        return other
      end
    end
  end
  return redis.call('ZRANGE', FINISHED, 0, 0)[1]
end

-- Whether there is room for one more job, for which those go that finished first.
local function make_room()
  local surplus = redis.call('ZCARD', IDS) + 1 - most_kept
  while surplus > 0 do
    local other = finished_first()
    if not other then
      return false
    end
    redis.call('ZREM', FINISHED, other)
    if not redis.call('ZSCORE', ACTIVE, other) then -- an earlier release may have retried it
      redis.call('DEL', string.sub(JOB, 1, -1 - #id) .. other)
      surplus = surplus - redis.call('ZREM', IDS, other)
    end
  end
  return true
end

if operation == 'submit' then
  if redis.call('EXISTS', JOB) == 1 then
    return 1
  end
  local fingerprint, remember = ARGV[FIRST], ARGV[FIRST + 1]
  if fingerprint ~= '' then
    local before = redis.call('GET', ONCE)
    if before then
      local known, of = string.match(before, '^(%S+) (.*)$')
      -- One that was kept for long enough can't be told: whoever asks again gets another one.
      if of ~= fingerprint or redis.call('EXISTS', string.sub(JOB, 1, -1 - #id) .. known) == 1 then
        return before
      end
    end
  end
  if redis.call('ZCARD', ACTIVE) >= most_active or not make_room() then
    return 0
  end
  set('state', 'queued', 'created_at', text(now), unpack(ARGV, FIRST + 2))
  if fingerprint ~= '' then
    redis.call('SET', ONCE, id .. ' ' .. fingerprint, 'PX', remember)
  end
  redis.call('ZADD', IDS, 0, id)
  redis.call('ZADD', ACTIVE, now, id)
  return 1
end

local function forget()
  redis.call('DEL', JOB)
  redis.call('ZREM', ACTIVE, id)
  redis.call('ZREM', FINISHED, id)
  redis.call('ZREM', IDS, id)
end

local state = redis.call('HGET', JOB, 'state')
if not state then
  forget()
  return 0
end

if operation == 'claim' then
  if redis.call('HGET', JOB, 'place') ~= ARGV[FIRST] then
    return 0
  end
  local kind, is_alone = redis.call('HGET', JOB, 'kind'), ARGV[FIRST + 2] == '1'
  if is_alone and other_runs(kind) then
    return 0
  end
  if state == 'running' then
    if is_held() then
      if redis.call('HGET', JOB, 'claim') ~= ARGV[FIRST + 3] then
        return 0
      end
      hold() -- the answer was lost
      return redis.call('HGETALL', JOB)
    end
    if redis.call('HGET', JOB, 'cancelling') == '1' then
      finish('cancelled', #ARGV + 1)
      return 0
    end
    if redis.call('HINCRBY', JOB, 'crashes', 1) >= most_crashes then
      set('error', ARGV[FIRST + 1])
      finish('failed', #ARGV + 1)
      return redis.call('HGETALL', JOB)
    end
  elseif state ~= 'queued' then
    redis.call('ZREM', ACTIVE, id)
    return 0
  end
  set('state', 'running', 'cancelling', '0', 'began_at', text(now),
    'began_done', redis.call('HGET', JOB, 'done') or '0', 'alone', is_alone and '1' or '0',
    'claim', ARGV[FIRST + 3])
  redis.call('HINCRBY', JOB, 'token', 1)
  redis.call('HINCRBY', JOB, 'attempts', 1)
  hold()
  return redis.call('HGETALL', JOB)
end

if operation == 'cancel' then
  if state == 'queued' then
    finish('cancelled', #ARGV + 1)
  elseif state == 'running' and not is_held() then
    finish('cancelled', #ARGV + 1) -- its runner died, and no other one may ever come
  elseif state == 'running' then
    set('cancelling', '1')
  end
  return 1
end

if operation == 'retry' then
  if state == 'failed' or state == 'cancelled' then
    if redis.call('ZCARD', ACTIVE) >= most_active then
      return 0
    end
    set('state', 'queued', 'error', '', 'crashes', '0', 'retried', '1', unpack(ARGV, FIRST))
    if redis.call('HGET', JOB, 'restart') == '1' then
      redis.call('HDEL', JOB, 'restart', 'checkpoint', 'done', 'total', 'created', 'updated')
    end
    redis.call('PERSIST', JOB)
    redis.call('ZREM', FINISHED, id)
    redis.call('ZADD', ACTIVE, now, id)
  end
  return 1
end

if operation == 'forget' then
  if state == 'queued' or state == 'running' then
    return 0
  end
  forget()
  return 1
end

-- What only the runner that has the lease may do.
if state ~= 'running' or redis.call('HGET', JOB, 'token') ~= ARGV[FIRST] then
  return 0
end
-- Its lease had lapsed, and another one was let run.
if (operation == 'hold' or operation == 'advance') and other_runs(redis.call('HGET', JOB, 'kind')) then
  return 0
end
if operation == 'hold' then
  hold()
  return redis.call('HGET', JOB, 'cancelling') == '1' and 2 or 1
elseif operation == 'advance' then
  local before = redis.call('HMGET', JOB, 'checkpoint', 'began_done')
  set_fields(FIRST + 1)
  local after = redis.call('HMGET', JOB, 'checkpoint', 'done')
  -- Crashes that are counted had no progress in between. What is done again, as by a job without
  -- checkpoints, is none.
  if after[1] ~= before[1] or tonumber(after[2]) > (tonumber(before[2]) or 0) then
    redis.call('HSET', JOB, 'crashes', '0')
  end
elseif operation == 'release' then
  if redis.call('HGET', JOB, 'cancelling') == '1' then
    finish('cancelled', #ARGV + 1)
  else
    hold_alone(nil)
    set('state', 'queued')
  end
elseif operation == 'finish' then
  finish(ARGV[FIRST + 1], FIRST + 2)
end
return 1
