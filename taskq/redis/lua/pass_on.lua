-- Have items fail since the source of their map has ended without results for them (feed.lua).
--
-- Only what has failed there, and has no record here yet: so to say it twice, or long after, changes nothing. Such
-- an item was never added here, for the source has either a result or an error record of each.
--
-- KEYS  1 taskq:{id}   2 :errors   3 :groups   4 the source's taskq:{id}   5 its :errors   6 rq:job: and its id
-- ARGV  1 the incarnation   2 the source's   3 the kind of these errors
--       4 most kinds of errors that are counted apart   5 channel of the map's events
--       6.. index there, index here, record, ...
-- Returns how many items have failed by that; -1 if one of the two is gone, or this map is not open, or more may
-- come.

--include ended

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'over', 'first')
local source = redis.call('HMGET', KEYS[4], 'incarnation', 'state')
if map[1] ~= ARGV[1] or map[2] ~= 'open' or map[3] ~= 'ended' then
    return -1
end
if source[1] ~= ARGV[2] or not ended(source[2], KEYS[6]) then
    return -1
end
local first, number, lowest = tonumber(map[4]), 0, nil
for i = 6, #ARGV, 3 do
    local there = redis.call('HEXISTS', KEYS[5], ARGV[i]) == 1
    if there and redis.call('HSETNX', KEYS[2], ARGV[i + 1], ARGV[i + 2]) == 1 then
        local index = tonumber(ARGV[i + 1])
        number, lowest = number + 1, math.min(lowest or index, index)
    end
end
if number == 0 then
    return 0
end
if not first or lowest < first then
    redis.call('HSET', KEYS[1], 'first', string.format('%.0f', lowest))
end
local kind = ARGV[3]
local known = redis.call('HGET', KEYS[3], kind)
if not known and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[4]) then
    kind = ''
    known = redis.call('HGET', KEYS[3], kind)
end
local before, sample = string.match(known or '', '^(%d+) (%d+)$')
sample = math.min(tonumber(sample) or lowest, lowest)
redis.call('HSET', KEYS[3], kind, string.format('%d %d', (tonumber(before) or 0) + number, sample))
redis.call('HINCRBY', KEYS[1], 'failed', number)
redis.call('HINCRBY', KEYS[1], 'passed', number)
redis.call('PUBLISH', ARGV[5], 'progress')
return number
