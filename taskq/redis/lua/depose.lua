-- Declare a service dead, if its lease is still over by the server's clock: from here on its next renewal tells it so.
--
-- The lease is set to 0 and not deleted, so that somebody else finishes the take-over if this caller dies in it.
--
-- KEYS  1 taskq:leases
-- ARGV  1 worker name
-- Returns 1; 0 if it has renewed its lease meanwhile, or has none.

local time = redis.call('TIME')
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) > time[1] + time[2] / 1e6 then
    return 0
end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return 1
