-- Add chunks to a map that is being written.
--
-- KEYS  1 taskq:{id}   2 :bodies   3 :pending   4 :function   5.. what else was written of the map
-- ARGV  1 seconds after which the keys expire if the producer dies   2 the incarnation
--       3 how many items were written before these   4 how many there are with these
--       5.. range, body, ...
-- Returns 1, also of a map that is announced by now, and then nothing was changed; 0 if the map is no longer this
-- producer's (it has expired, or was replaced); -1 if some of what was written before is gone, since the server came
-- back as it was some moments before: then it can't be completed.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'next', 'state')
if map[1] ~= ARGV[2] then
    return 0
end
if map[3] ~= 'writing' then -- it comes a second time, and late: an open map's keys must not expire
    return 1
end
if map[2] == ARGV[3] then
    for i = 5, #ARGV, 2 do
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
        redis.call('RPUSH', KEYS[3], ARGV[i])
    end
    redis.call('HSET', KEYS[1], 'next', ARGV[4])
elseif map[2] ~= ARGV[4] then -- else they were written, and only the reply was lost
    return -1
end
for i = 1, #KEYS do
    redis.call('EXPIRE', KEYS[i], ARGV[1])
end
return 1
