-- Feed an open map in the place of who has fed it so far: he hears of it with the next thing that he says.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation   2 the new feeder   3 seconds of its lease
-- Returns {state, items}: 'open' if the map is fed by the new one now; '' if this incarnation is gone; 'sealed' if it can't
-- get any more items. Else the map's state, and nothing was changed.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'lease', 'next')
if map[1] ~= ARGV[1] then
    return {'', ''}
end
if not map[3] then
    return {'sealed', map[4] or ''}
end
if map[2] == 'open' then
    local time = redis.call('TIME')
    local lease = string.format('%d.%06d', time[1] + ARGV[3], time[2])
    redis.call('HSET', KEYS[1], 'feeder', ARGV[2], 'lease', lease)
end
return {map[2], map[4] or ''}
