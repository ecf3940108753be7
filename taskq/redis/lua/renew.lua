-- Keep a service alive for some more seconds, by the server's clock.
--
-- KEYS  1 taskq:leases   2 taskq:services   3 taskq:host:{host}
-- ARGV  1 worker name   2 seconds   3 JSON of its ServiceInfo
--       4 seconds for which the host's services are listed, if none of them renews a lease
-- Returns {1 if it was alive until now, 0 if it had no lease or was given up for dead, Unix time now: seconds,
-- microseconds}.

local time = redis.call('TIME')
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.6f', time[1] + time[2] / 1e6 + ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local listed = redis.pcall('SADD', KEYS[3], ARGV[1])
if type(listed) == 'table' then -- somebody has changed the key: it is made anew, and a list without the others is too short
    redis.call('DEL', KEYS[3])
end
redis.call('EXPIRE', KEYS[3], ARGV[4])
return {ends and tonumber(ends) > 0 and 1 or 0, time[1], time[2]}
