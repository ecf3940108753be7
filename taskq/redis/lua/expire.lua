-- Let all keys of a map live for so long, if it is still the one that is meant.
--
-- Those whose items are its results may need them for longer; the last that has all lets them go (unfollow.lua).
--
-- KEYS  1 taskq:maps   2 taskq:{id}   3.. the map's other keys
-- ARGV  1 the incarnation   2 seconds; -1: for ever, 0: not at all   3 the map's id
--       4 for how many seconds it is kept at least if there are such maps
-- Returns 1; 0 if another incarnation has taken its place, or if it is open, and shall live on: then this was said at
-- its end, has come late, and meanwhile it was opened again. Or the server has come back as it was before it was
-- announced: then it has the limit of what is written.

local incarnation = redis.pcall('HGET', KEYS[2], 'incarnation') -- whatever that key is by now
if type(incarnation) == 'string' and incarnation ~= ARGV[1] then
    return 0
end
local ttl = tonumber(ARGV[2])
local known = incarnation == ARGV[1]
if known and ttl >= 0 and ttl < tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[2], 'followers') == 1 then
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[2], 'until', string.format('%.6f', time[1] + time[2] / 1e6 + ttl))
    ttl = tonumber(ARGV[4])
end
local state = ttl > 0 and incarnation == ARGV[1] and redis.call('HGET', KEYS[2], 'state')
if state == 'open' or state == 'writing' then
    return 0
end
for i = 2, #KEYS do
    if ttl == 0 then
        redis.call('UNLINK', KEYS[i])
    elseif ttl < 0 then
        redis.call('PERSIST', KEYS[i])
    else
        redis.call('EXPIRE', KEYS[i], ttl)
    end
end
if ttl == 0 then
    redis.call('ZREM', KEYS[1], ARGV[3])
end
return 1
