-- The workers whose lease is over, by the server's clock.
--
-- A registered service that has no lease (somebody has deleted them) gets one: so either it shows that it lives, or it
-- is among the lost later, with what it held.
--
-- KEYS  1 taskq:leases   2 taskq:services
-- ARGV  1 seconds of such a lease
-- Returns their names.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
if redis.call('HLEN', KEYS[2]) > redis.call('ZCARD', KEYS[1]) then
    for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
        redis.call('ZADD', KEYS[1], 'NX', string.format('%.6f', now + ARGV[1]), name)
    end
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now))
