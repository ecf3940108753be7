-- Seal an open map: it gets no more items, and ends when those it has have ended. Or only the former: then it is to be
-- cancelled, and must not be complete meanwhile.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation   2 the feeder; '' for who seals it since the feeder is gone, and its lease must be over, or since
--       the map has all results that it wants
--       3 how many items it has, for who seals it; '' if it is to be cancelled
--       4 the seal over what is announced now, '' without a key
--       5 channel of the map's events   6 template of a worker's channel, with %s
--       7 '1': since the feeder is gone; else, where 2 is '', since the map has all results that it wants
-- Returns {state, items}: 'sealed' if it is sealed, now or before; '' if this incarnation is gone; 'other' if somebody
-- else feeds it; 'fed' if its feeder's lease is not over. Else the map's state: then it has another number of items, or
-- is not open, and nothing was changed.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'feeder', 'lease', 'next', 'done', 'failed', 'owner',
    'enough')
if map[1] ~= ARGV[1] then
    return {'', ''}
end
local items, lease = map[5] or '', tonumber(map[4]) or 0
local ended = (tonumber(map[6]) or 0) + (tonumber(map[7]) or 0)
if not map[4] then
    return {'sealed', redis.call('HGET', KEYS[1], 'total') or ''}
end
if ARGV[2] ~= '' and map[3] ~= ARGV[2] then
    return {'other', items}
end
local time = redis.call('TIME')
local orphaned = ARGV[7] == '1'
if orphaned and lease > time[1] + time[2] / 1e6 or ARGV[2] == '' and not orphaned and not map[9] then
    return {'fed', items}
end
if map[2] ~= 'open' or ARGV[3] ~= '' and items ~= ARGV[3] then
    return {map[2], items}
end
if orphaned then
    redis.call('HSET', KEYS[1], 'orphaned', '1')
end
if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'total', ARGV[3], 'seal', ARGV[4]) -- first, for without memory it fails
end
redis.call('HDEL', KEYS[1], 'lease')
if ARGV[3] == '' then
    return {'sealed', items}
end
redis.call('PUBLISH', ARGV[5], 'progress')
if map[8] and ended >= tonumber(ARGV[3]) then
    redis.call('PUBLISH', (string.gsub(ARGV[6], '%%s', (string.gsub(map[8], '%%', '%%%%')))),
        string.format('{"command": "taskq-complete", "map": "%s"}', string.match(KEYS[1], '{(.*)}$'))) -- as who commits the last chunk does
end
return {'sealed', items}
