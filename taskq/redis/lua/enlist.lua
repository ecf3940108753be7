-- Enter a map in the list of all maps, with the moment by the server's clock.
--
-- KEYS  1 taskq:maps
-- ARGV  1 the map's id
-- Returns 1; 0 if it was there already.

local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1], string.format('%.6f', time[1] + time[2] / 1e6), ARGV[1])
