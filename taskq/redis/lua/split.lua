-- Replace a claimed chunk by two that share its items, both pending: to find the item that kills processes.
--
-- Both get new numbers. A number always means the same items: so an outcome that arrives late, from an earlier run
-- of a claim that its worker holds again, is still the outcome of just those.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :chunks
-- ARGV  1 chunk number   2 the claim, "deaths worker"   3, 4 deaths to note for the halves
--       5 header of the first half   6 header of the second half
-- Returns 1; 0 if the claim is not held.

local number = ARGV[1]
if redis.call('HGET', KEYS[3], number) ~= ARGV[2] then
    return 0
end
local payload = redis.call('HGET', KEYS[4], number)
local body = string.sub(payload, string.find(payload, '\n', 1, true) + 1)
local second = redis.call('HINCRBY', KEYS[1], 'chunks', 2) - 1
local first = second - 1
redis.call('HSET', KEYS[4], first, ARGV[5] .. body, second, ARGV[6] .. body)
redis.call('LPUSH', KEYS[2], second .. ':' .. ARGV[4], first .. ':' .. ARGV[3])
redis.call('HDEL', KEYS[3], number) -- last, for without memory all the others fail
redis.call('HDEL', KEYS[4], number)
return 1
