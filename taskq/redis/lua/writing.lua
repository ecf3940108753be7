-- Renew the lease of a producer that writes a map.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation   2 seconds
-- Returns 1; 0 if it writes that map no more.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[1] or map[2] ~= 'writing' then
    return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'writer', string.format('%.6f', time[1] + time[2] / 1e6 + ARGV[2]))
return 1
