-- Replace a claimed range by two smaller ones, both pending: to find the item that kills processes.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :uses
-- ARGV  1 the incarnation   2 range   3 the claim as it is held, "token deaths body worker"
--       4 how many items its body has, if no range was taken from it before   5, 6 the halves' ranges
--       7, 8 deaths to note for them
-- Returns 1; 0 if the claim is not held.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] or redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then
    return 0
end
local body = string.match(ARGV[3], '^%S+ %S+ (%S+) ')
redis.call('HSETNX', KEYS[4], body, ARGV[4])
redis.call('LPUSH', KEYS[2], table.concat({ARGV[6], ARGV[8], body}, ' '), table.concat({ARGV[5], ARGV[7], body}, ' '))
redis.call('HDEL', KEYS[3], ARGV[2]) -- last, for without memory all the others fail
return 1
