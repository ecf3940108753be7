-- Take the first item of a queue of items, once.
--
-- KEYS  1 taskq:queue:{name}   2 taskq:said:{thread}
-- ARGV  1 what was drawn for this call   2 seconds for which that is kept, with the item
-- Returns the item; false if there is none.

local said = redis.call('GET', KEYS[2])
if said and string.sub(said, 1, #ARGV[1]) == ARGV[1] then
    return string.sub(said, #ARGV[1] + 1) -- the reply was lost, and the caller asks again
end
local item = redis.call('LINDEX', KEYS[1], 0)
if item then
    redis.call('SET', KEYS[2], ARGV[1] .. item, 'EX', ARGV[2]) -- first, for without memory it fails
    redis.call('LPOP', KEYS[1])
end
return item
