-- Note that a range which a service has died of is given to a process now, if it is still claimed as we know.
--
-- KEYS  1 taskq:{id}   2 :claims
-- ARGV  1 the incarnation   2 range   3 the claim as it is held, "token deaths body worker"
--       4 the same with the deaths to note
-- Returns 1; 0 if it is not held any more, or this incarnation is gone, and then nothing was changed.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] or redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
return 1
