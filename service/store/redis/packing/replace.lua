-- Replaces fields of records that are still as they were read; neither version nor log tells of it.
--
-- KEYS  the record of each field
-- ARGV  of each field its name, its value as it was read, and the one that is to be stored
-- Returns how many were replaced.

local replaced = 0
for i, record in ipairs(KEYS) do
  local name, before, after = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if redis.call('HGET', record, name) == before then
    redis.call('HDEL', record, name)  -- allowed where memory is full, and frees what HSET takes
    redis.call('HSET', record, name, after)
    replaced = replaced + 1
  end
end
return replaced
