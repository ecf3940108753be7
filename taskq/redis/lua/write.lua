-- Add chunks to a map that is being written.
--
-- KEYS  1 taskq:{id}   2 :chunks   3 :pending
-- ARGV  1 seconds after which the keys expire if the producer dies   2 the producer's name
--       3 number of the first of these chunks   4.. payloads
-- Returns 1; 0 if the map is no longer this producer's (it has expired, or was replaced).

if redis.call('HGET', KEYS[1], 'writer') ~= ARGV[2] then
    return 0
end
-- Each number is pending once, also if the producer says it again because it heard no reply.
if redis.call('LLEN', KEYS[3]) == tonumber(ARGV[3]) then
    for i = 4, #ARGV do
        redis.call('HSET', KEYS[2], ARGV[3] + i - 4, ARGV[i])
        redis.call('RPUSH', KEYS[3], ARGV[3] + i - 4)
    end
end
for i = 1, 3 do
    redis.call('EXPIRE', KEYS[i], ARGV[1])
end
return 1
