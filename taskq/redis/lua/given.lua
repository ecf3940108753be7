-- Note that a range which a service has died of is given to a process now, if it is still claimed as we know.
--
-- KEYS  1 taskq:{id}:claims
-- ARGV  1 range   2 the claim as it is held, "token deaths body worker"   3 the same with the deaths to note
-- Returns 1; 0 if it is not held any more, and then nothing was changed.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
