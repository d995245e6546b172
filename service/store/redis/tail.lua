-- Reads in one step who changed after a sequence number, their records, and what the store says.
--
-- KEYS  meta, ids, log
-- ARGV  sequence number, most entries, beginning of a record's key, number of fields, the fields,
--       ids of which the records are wanted too
-- Returns false if there are more entries; else sequence, model version, number of streamers, and
-- for each id: it and its fields. A gap in the log gives {-1, the number where it goes on}.

local META, IDS, LOG = KEYS[1], KEYS[2], KEYS[3]
local after, most, prefix, count = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local fields, ids, known = {}, {}, {}

local function want(id)
  if not known[id] then
    known[id] = true
    ids[#ids + 1] = id
  end
end

for i = 5, 4 + count do
  fields[#fields + 1] = ARGV[i]
end
for i = 5 + count, #ARGV do
  want(ARGV[i])
end
local news = redis.call('XRANGE', LOG, '(' .. ARGV[1] .. '-0', '+', 'COUNT', most + 1)
if #news > most then
  return false
end
for _, entry in ipairs(news) do
  after = after + 1
  local number = tonumber(string.match(entry[1], '^%d+'))
  if number ~= after then
    return {-1, number}
  end
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'id' then
      want(entry[2][i + 1])
    end
  end
end
local sequence = tonumber(redis.call('HGET', META, 'sequence') or '0')
if sequence ~= after then
  return {-1, sequence}
end
local rows = {}
for _, id in ipairs(ids) do
  rows[#rows + 1] = {id, redis.call('HMGET', prefix .. id, unpack(fields))}
end
return {sequence, redis.call('HGET', META, 'model_version'), redis.call('ZCARD', IDS), rows}
