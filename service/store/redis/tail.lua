-- Reads in one step who changed after a sequence number, their records, and what the store says.
--
-- KEYS  meta, ids, log
-- ARGV  sequence number, most entries, most bytes of profiles and tower vectors, beginning of a
--       record's key, number of fields, the fields, ids of which the records are wanted too
-- Returns false if there are more entries or, of several records, more bytes; else sequence, model version, number of streamers, and
-- for each id: it and its fields. A gap in the log gives {-1, the number where it goes on}.

local META, IDS, LOG = KEYS[1], KEYS[2], KEYS[3]
local after, most, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local prefix, count = ARGV[4], tonumber(ARGV[5])
local fields, ids, known = {}, {}, {}

local function want(id)
  if not known[id] then
    known[id] = true
    ids[#ids + 1] = id
  end
end

for i = 6, 5 + count do
  fields[#fields + 1] = ARGV[i]
end
for i = 6 + count, #ARGV do
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
for _, id in ipairs(ids) do
  for _, field in ipairs({'profile', 'tower_vectors'}) do
    bytes = bytes - redis.call('HSTRLEN', prefix .. id, field)
  end
end
if bytes < 0 and #ids > 1 then
  return false
end
local rows = {}
for _, id in ipairs(ids) do
  rows[#rows + 1] = {id, redis.call('HMGET', prefix .. id, unpack(fields))}
end
return {sequence, redis.call('HGET', META, 'model_version'), redis.call('ZCARD', IDS), rows}
