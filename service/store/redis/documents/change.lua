-- KEYS  collections, revision, stream and meta of the feed, then (documents, ids) of each put, then
--       the log of each append, then (documents, ids, log) of each collection to be dropped
-- ARGV  number of puts, then (collection, id, revision expected or '', body or '') of each, with
--       'some' and '=' for what has to be there and stays; number of appends, then (collection,
--       body, entries that its log keeps, 0 = all) of each; number of collections to be dropped, then their names; then (id, kind, data)
--       of each event
local puts = tonumber(ARGV[1])
local at = 2
for put = 1, puts do
  local expected = ARGV[at + 2]
  if expected ~= '' then
    local stored = redis.call('HGET', KEYS[3 + 2 * put], ARGV[at + 1])
    local revision = stored and string.match(stored, '^%d+') or '0'
    if revision ~= expected and (expected ~= 'some' or revision == '0') then
      return {0, ARGV[at + 1], revision}
    end
  end
  at = at + 4
end
-- What may be refused when memory is full goes first: the rest of a script is then let through.
local revision = redis.call('INCRBY', KEYS[2], puts) - puts
at = 2
local answer = {1}
for put = 1, puts do
  local documents, ids = KEYS[3 + 2 * put], KEYS[4 + 2 * put]
  local collection, id, body = ARGV[at], ARGV[at + 1], ARGV[at + 3]
  if body == '=' then
    answer[put + 1] = '0'
  elseif body == '' then
    redis.call('HDEL', documents, id)
    redis.call('ZREM', ids, id)
    answer[put + 1] = '0'
  else
    local new = string.format('%.0f', revision + put)
    redis.call('HSET', documents, id, new .. ' ' .. body)
    redis.call('ZADD', ids, 0, id)
    redis.call('HINCRBY', KEYS[1], collection, 0)
    answer[put + 1] = new
  end
  at = at + 4
end
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local appends = tonumber(ARGV[at])
at = at + 1
for append = 1, appends do
  local number = string.format('%.0f', redis.call('HINCRBY', KEYS[1], ARGV[at], 1))
  local log, body, most = KEYS[4 + 2 * puts + append], ARGV[at + 1], ARGV[at + 2]
  if most == '0' then
    redis.call('XADD', log, number .. '-0', 'at', now, 'body', body)
  else
    redis.call('XADD', log, 'MAXLEN', '~', most, number .. '-0', 'at', now, 'body', body)
  end
  at = at + 3
end
local drops = tonumber(ARGV[at])
at = at + 1
for drop = 1, drops do
  local documents = 2 + 2 * puts + appends + 3 * drop
  redis.call('UNLINK', KEYS[documents], KEYS[documents + 1], KEYS[documents + 2])
  redis.call('HDEL', KEYS[1], ARGV[at])
  at = at + 1
end
while at <= #ARGV do
  emit(KEYS[3], KEYS[4], ARGV[at], ARGV[at + 1], ARGV[at + 2], now)
  at = at + 3
end
return answer
