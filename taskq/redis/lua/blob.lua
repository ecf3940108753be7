-- Add a piece of a large object to a map that is being written.
--
-- KEYS  1 taskq:{id}   2 :blobs
-- ARGV  1 seconds after which the keys expire if the producer dies   2 the incarnation
--       3 the piece's name   4 the piece
-- Returns 1, also of a map that is announced by now; 0 if the map is no longer this producer's (it has expired, or was
-- replaced).

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[2] then
    return 0
end
if map[2] ~= 'writing' then -- it comes a second time, and late
    return 1
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
for i = 1, #KEYS do
    redis.call('EXPIRE', KEYS[i], ARGV[1])
end
return 1
