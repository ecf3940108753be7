-- Change how much of a map may run: see room.lua.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation
--       2 how many ranges may be claimed at once, '': any number, '=': as before   3 a rate, in the same way
--       4 channel of the map's events   5 channel of all services   6, 7 the notes for them
-- Returns 1; 0 if this incarnation is gone, or not announced.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[1] or map[2] == 'writing' then
    return 0
end
local limits, ended = {max_running = ARGV[2], rate = ARGV[3]}, {}
for field, value in pairs(limits) do
    if value == '' then
        ended[#ended + 1] = field
    elseif value ~= '=' then
        redis.call('HSET', KEYS[1], field, value)
    end
end
if #ended > 0 then
    redis.call('HDEL', KEYS[1], unpack(ended)) -- last, for without memory all the others fail
end
redis.call('PUBLISH', ARGV[5], ARGV[6])
redis.call('PUBLISH', ARGV[5], ARGV[7])
redis.call('PUBLISH', ARGV[4], 'progress')
return 1
