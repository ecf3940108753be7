-- Remove what a producer has written of a map, if it was not announced.
--
-- KEYS  1 taskq:{id}   2.. the map's other keys
-- ARGV  1 the incarnation
-- Returns 1; 0 if the map is open, or somebody else's.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[1] or map[2] ~= 'writing' then
    return 0
end
redis.call('UNLINK', unpack(KEYS))
return 1
