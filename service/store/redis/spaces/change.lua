-- Changes the record of a space.
-- KEYS  records, meta, events, events' meta, chunks to keep (or meta), what the request did before
--       (any key for one without a name), chunks to drop ...
-- ARGV  space, record before (empty: none), record after (empty: none), new mark,
--       number of chunks to keep (0: none), request (empty: it has no name), seconds to remember it,
--       number of erasures as it is known (empty: any), number of events, (id, kind, data) of each
if ARGV[6] ~= '' and redis.call('EXISTS', KEYS[6]) == 1 then
  return 0
end
local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if before ~= ARGV[2] then
  return 0
end
if ARGV[8] ~= '' and (redis.call('HGET', KEYS[2], 'spaces_erasures') or '0') ~= ARGV[8] then
  return 0
end
local kept = tonumber(ARGV[5])
if kept > 0 and redis.call('HLEN', KEYS[5]) ~= kept then
  return -1
end
-- Removing goes first: it is allowed when memory is full, and what follows it in a script then too.
for i = 7, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
if kept > 0 then
  redis.call('PERSIST', KEYS[5])
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('HSET', KEYS[2], 'spaces_mark', ARGV[4])
if ARGV[6] ~= '' then
  redis.call('SET', KEYS[6], ARGV[6], 'EX', ARGV[7])
end
local time = redis.call('TIME')
local at = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for i = 1, tonumber(ARGV[9]) do
  local first = 7 + 3 * i
  emit(KEYS[3], KEYS[4], ARGV[first], ARGV[first + 1], ARGV[first + 2], at)
end
return 1
