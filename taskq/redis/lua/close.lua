-- Stop a map: from now on nothing of it is claimed, and no commit is accepted.
--
-- What is left stays, so that the map can be opened again (retry, requeue) until it expires. What is claimed becomes
-- pending, a bounded part of it here, and the rest when the map is opened.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :copies   5 :since
-- ARGV  1 the incarnation   2 the reason, for people; '' if there is nothing to say
--       3 the map's id   4 "1" if what runs of it is to be killed
--       5 channel of the map's events   6 channel of all services   7 the note for them
--       8 how many claims this call may move   9 "1": only if every item was tried, or enough is there
--       10 what the registers of open maps begin with
-- Returns 1; 0 if this incarnation is gone, or not announced (the server came back as it was before), or if not every
-- item was tried.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'done', 'failed', 'total', 'queue', 'state', 'enough')
if map[1] ~= ARGV[1] or map[6] == 'writing' or ARGV[9] == '1' and not map[7] and map[2] + map[3] < tonumber(map[4]) then
    return 0
end
local time = redis.call('TIME')
if map[6] ~= 'closed' then
    redis.call('HSET', KEYS[1], 'state', 'closed', 'ended', string.format('%d.%06d', time[1], time[2]), 'kill', ARGV[4])
elseif ARGV[4] == '1' then -- by somebody who comes later
    redis.call('HSET', KEYS[1], 'kill', '1')
end
if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], 'reason', ARGV[2])
end
if map[5] then
    redis.pcall('ZREM', ARGV[10] .. map[5], ARGV[3])
end
redis.call('UNLINK', KEYS[4], KEYS[5]) -- as much as there are claims; of these, second ones are not needed
local left, cursor = tonumber(ARGV[8]), '0'
while left > 0 do
    local found = redis.call('HSCAN', KEYS[3], cursor, 'COUNT', 100) -- not from the beginning each time: see open.lua
    local claims = found[2]
    cursor = found[1]
    for i = 1, #claims, 2 do
        local deaths, body = string.match(claims[i + 1], '^%S+ (%d+) (%S+) ')
        redis.call('LPUSH', KEYS[2], table.concat({claims[i], deaths or 0, body or claims[i]}, ' '))
        redis.call('HDEL', KEYS[3], claims[i])
        left = left - 1
    end
    left = left - 1 -- also for having looked
    if cursor == '0' then
        break
    end
end
local ttl = redis.call('TTL', KEYS[1])
if ttl >= 0 then
    redis.call('EXPIRE', KEYS[2], ttl) -- it was closed before, and that list may have been made just now
end
-- Whoever works on it lets go of it at once, if it hears this; else when it looks next, or commits.
redis.call('PUBLISH', ARGV[6], '{"command": "' .. ARGV[7] .. '", "map": "' .. ARGV[3] .. '"}')
redis.call('PUBLISH', ARGV[5], 'progress')
return 1
