-- Remove what a producer has written of a map and not announced, if its lease is over.
--
-- KEYS  1 taskq:{id}   2.. the map's other keys
-- ARGV  1 the incarnation
-- Returns '' if the map is not being written any more, or was removed now; '-' if nobody knows whether its producer
-- lives; else for how many seconds its lease goes on.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'writer')
if map[1] ~= ARGV[1] or map[2] ~= 'writing' then
    return ''
end
local ends = tonumber(map[3])
if not ends then
    return '-'
end
local time = redis.call('TIME')
local left = ends - time[1] - time[2] / 1e6
if left > 0 then
    return string.format('%.3f', left)
end
redis.call('UNLINK', unpack(KEYS))
return ''
