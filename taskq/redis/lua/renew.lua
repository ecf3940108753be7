-- Keep a service alive for some more seconds, by the server's clock.
--
-- KEYS  1 taskq:leases   2 taskq:services
-- ARGV  1 worker name   2 seconds   3 JSON of its ServiceInfo
-- Returns {1 if it was alive until now, 0 if it had no lease or was given up for dead, Unix time now: seconds,
-- microseconds}.

local time = redis.call('TIME')
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.6f', time[1] + time[2] / 1e6 + ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return {ends and tonumber(ends) > 0 and 1 or 0, time[1], time[2]}
