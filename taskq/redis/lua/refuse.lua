-- Note that a worker can't run anything of a map: its function can't be loaded there.
--
-- KEYS  1 taskq:{id}   2 :refusals
-- ARGV  1 the incarnation   2 worker name   3 JSON of a Refusal   4 the same for people
-- Returns 1; 0 if this incarnation is gone, or the map is not open.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[1] or map[2] ~= 'open' then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[1], 'refused', ARGV[4])
return 1
