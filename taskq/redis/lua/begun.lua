-- Note that a job which was running when another worker died is given to a process now, if it is still ours.
--
-- KEYS  1 rq:execution:{job id}:{id}
-- ARGV  1 the field which says so
-- Returns 1; 0 if there is no such execution any more, and then nothing was changed.

if redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
redis.pcall('HSET', KEYS[1], ARGV[1], 1) -- whatever that key is by now; without memory the death will not count
return 1
