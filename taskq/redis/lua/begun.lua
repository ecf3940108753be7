-- Note that a job which was running when another worker died is given to a process now, if it is still ours.
--
-- KEYS  1 taskq:held:{worker}
-- ARGV  1 "job id:execution id"   2 "stage queue"
-- Returns 1; 0 if it is not held any more, and then nothing was changed.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end
redis.pcall('HSET', KEYS[1], ARGV[1], ARGV[2]) -- without memory the death will not count
return 1
