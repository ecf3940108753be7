-- Add an item at the end of a queue of items, once.
--
-- KEYS  1 taskq:queue:{name}   2 taskq:said:{thread}
-- ARGV  1 the item   2 items that it may hold, 0: any number
--       3 what was drawn for this call   4 seconds for which that is kept
-- Returns 1; 0 if it is full, and then nothing was changed.

if redis.call('GET', KEYS[2]) == ARGV[3] then
    return 1 -- the reply was lost, and the caller asks again
end
local most = tonumber(ARGV[2])
if most > 0 and redis.call('LLEN', KEYS[1]) >= most then
    return 0
end
redis.call('RPUSH', KEYS[1], ARGV[1]) -- first, for without memory it fails
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
return 1
