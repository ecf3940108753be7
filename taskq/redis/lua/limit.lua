-- Change how much of a map may run: see room.lua.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation
--       2 how many ranges may be claimed at once, '': any number, '=': as before   3 a rate, in the same way
--       4 channel of the map's events   5 channel of all services   6, 7 the notes for them
--       with a secret key: 8 the signature over both   9 what they were when the map was pushed   10, 11 what they are now
-- Returns 1; 0 if this incarnation is gone, or not announced; -1 if they are not what they are said to be; -2 if the map is
-- signed, and nothing is signed here. But in the first case nothing was changed.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'max_running', 'rate', 'seal')
if map[1] ~= ARGV[1] or map[2] == 'writing' then
    return 0
end
if ARGV[8] then
    if (map[3] or '') ~= ARGV[10] or (map[4] or '') ~= ARGV[11] then
        return -1
    end
    redis.call('HSET', KEYS[1], 'caps_seal', ARGV[8], 'pushed_caps', ARGV[9])
elseif string.sub(map[5] or '', 1, 4) == '\0tq1' then
    return -2
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
