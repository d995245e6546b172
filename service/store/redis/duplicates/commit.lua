-- Writes groups, edges, events and the place in the log up to which these are evaluated, in one step.
--
-- KEYS  state, events, events' meta, news of judgements, then every key that a command writes
-- ARGV  token of the lease, number of the step, epoch, sequence and mark of the place ("" each: as
--       before), the last judgement that is taken in ("": none), the rules ("": as before),
--       the commands, a JSON array of arrays, then of each event its id, kind and data
-- Returns 1, also when the step was made already, 0 when the lease is another one's, or -1 when the
-- step before was never made.

local token, step = ARGV[1], tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'token', 'step')
if known[1] ~= token then
  return 0
end
local made = tonumber(known[2] or '0')
if made >= step then
  return 1
end
-- A store that failed over may have lost it: what it wrote would be missing for ever.
if made ~= step - 1 then
  return -1
end
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
for _, command in ipairs(cjson.decode(ARGV[8])) do
  redis.call(unpack(command))
end
for i = 9, #ARGV, 3 do
  emit(KEYS[2], KEYS[3], ARGV[i], ARGV[i + 1], ARGV[i + 2], now)
end
if ARGV[6] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[6])
end
redis.call('HSET', KEYS[1], 'step', ARGV[2])
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[1], 'rules', ARGV[7])
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'sequence', ARGV[4], 'mark', ARGV[5])
end
return 1
