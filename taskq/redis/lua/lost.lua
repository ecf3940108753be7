-- The workers whose lease is over, by the server's clock.
--
-- KEYS  1 taskq:leases
-- Returns their names.

local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', time[1] + time[2] / 1e6))
