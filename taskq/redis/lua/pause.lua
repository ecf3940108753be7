-- Pause a map, or have it go on.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation   2 '1': nothing of it is claimed from now on; '': go on
--       3 channel of the map's events   4 channel of all services   5 the note for them
-- Returns 1; 0 if this incarnation is gone, or not announced.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[1] or map[2] == 'writing' then
    return 0
end
if ARGV[2] == '1' then
    redis.call('HSET', KEYS[1], 'paused', '1')
else
    redis.call('HDEL', KEYS[1], 'paused')
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
redis.call('PUBLISH', ARGV[3], 'progress')
return 1
