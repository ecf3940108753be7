-- Replace a claimed range by smaller ones, all pending: to find the item that kills processes, or to set it apart.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :uses
-- ARGV  1 the incarnation   2 range   3 the claim as it is held, "token deaths body worker"
--       4 how many items its body has, if no range was taken from it before
--       5.. of each part: its range, deaths to note for it
-- Returns 1; 0 if the claim is not held.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] or redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then
    return 0
end
local body = string.match(ARGV[3], '^%S+ %S+ (%S+) ')
redis.call('HSETNX', KEYS[4], body, ARGV[4])
local parts = {}
for i = #ARGV - 1, 5, -2 do -- the last one first, for each goes to the front
    parts[#parts + 1] = table.concat({ARGV[i], ARGV[i + 1], body}, ' ')
end
redis.call('LPUSH', KEYS[2], unpack(parts))
redis.call('HDEL', KEYS[3], ARGV[2]) -- last, for without memory all the others fail
local ttl = redis.call('TTL', KEYS[1])
if ttl >= 0 then -- the map was closed, and these may have been made just now
    redis.call('EXPIRE', KEYS[2], ttl)
    redis.call('EXPIRE', KEYS[4], ttl)
end
return 1
