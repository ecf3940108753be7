-- A map needs its source no more. With the last that does, the source's keys expire when they were to.
--
-- KEYS  1 taskq:maps   2 taskq:{id} of the source   3.. its other keys
-- ARGV  1 its incarnation   2 who has followed, "id incarnation"   3 the source's id
-- Returns 1; 0 if the source is gone.

local map = redis.call('HMGET', KEYS[2], 'incarnation', 'followers', 'until')
if map[1] ~= ARGV[1] then
    return 0
end
local left = {}
for one in string.gmatch(map[2] or '', '[^,]+') do
    if one ~= ARGV[2] then
        left[#left + 1] = one
    end
end
if #left > 0 then
    redis.call('HSET', KEYS[2], 'followers', table.concat(left, ','))
    return 1
end
redis.call('HDEL', KEYS[2], 'followers', 'until')
if not map[3] then
    return 1
end
local time = redis.call('TIME')
local ttl = math.ceil(map[3] - time[1] - time[2] / 1e6)
for i = 2, #KEYS do
    if ttl > 0 then
        redis.call('EXPIRE', KEYS[i], ttl)
    else
        redis.call('UNLINK', KEYS[i])
    end
end
if ttl <= 0 then
    redis.call('ZREM', KEYS[1], ARGV[3])
end
return 1
