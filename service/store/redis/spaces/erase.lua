-- Removes a row from a generation: its chunks without the row, the record, and a note.
-- KEYS  records, meta, chunks, who was erased
-- ARGV  space, record before, record after, new mark, note, seconds for which notes are kept,
--       (name, chunk) of each part
local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if before ~= ARGV[2] then
  return 0
end
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - tonumber(ARGV[6]))
for i = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[4], now, ARGV[5])
redis.call('EXPIRE', KEYS[4], tonumber(ARGV[6]))
redis.call('HSET', KEYS[2], 'spaces_mark', ARGV[4])
return 1
