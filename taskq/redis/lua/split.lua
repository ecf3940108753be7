-- Replace a claimed range by smaller ones, all pending: to find the item that kills processes, or to set it apart. One
-- that runs twice is left to who else runs it.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :uses   5 :copies   6 :since
-- ARGV  1 the incarnation   2 range   3 the claim as it is held, "token deaths body worker"
--       4 how many items its body has, if no range was taken from it before
--       5.. of each part: its range, deaths to note for it
-- Returns 1; 0 if the claim is not held.

--include copies

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'speculate')
if map[1] ~= ARGV[1] or not is_held(KEYS[3], KEYS[5], ARGV[2], ARGV[3]) then
    return 0
end
local more = 0
if map[2] then
    local before = tonumber(string.match(ARGV[3], '^%S+ (%d+) ')) or 0
    local noted = before -- what this part of its life has added, somebody's part has
    for i = 6, #ARGV, 2 do
        noted = math.max(noted, tonumber(ARGV[i]))
    end
    local goes_on
    goes_on, more = is_left_to_other(KEYS[3], KEYS[5], KEYS[6], ARGV[2], ARGV[3], noted)
    if goes_on then
        return 1
    end
end
local body = string.match(ARGV[3], '^%S+ %S+ (%S+) ')
redis.call('HSETNX', KEYS[4], body, ARGV[4])
local parts = {}
for i = #ARGV - 1, 5, -2 do -- the last one first, for each goes to the front
    parts[#parts + 1] = table.concat({ARGV[i], string.format('%d', ARGV[i + 1] + more), body}, ' ')
end
redis.call('LPUSH', KEYS[2], unpack(parts))
redis.call('HDEL', KEYS[3], ARGV[2]) -- last, for without memory all the others fail
if map[2] then
    redis.call('HDEL', KEYS[5], ARGV[2])
    redis.call('ZREM', KEYS[6], ARGV[2])
end
local ttl = redis.call('TTL', KEYS[1])
if ttl >= 0 then -- the map was closed, and these may have been made just now
    redis.call('EXPIRE', KEYS[2], ttl)
    redis.call('EXPIRE', KEYS[4], ttl)
end
return 1
