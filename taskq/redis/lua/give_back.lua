-- Put a job id that was taken from its queue, and not begun, back to the front.
--
-- KEYS  1 rq:queue:{name}   2 rq:queue:{name}:intermediate   3 rq:job:{id}   4 rq:executions:{id}
--       or: 2 taskq:fetched:{worker}:{name}, which RQ's workers don't know, and no 4
-- ARGV  1 job id
-- Returns 1; 0 if the id is no longer in that list (somebody else has begun it, or given it back), or
-- its job no longer waits, and then it is in no list any more.

-- RQ's own worker registers the execution first, and takes the id off the list only when its horse runs.
if not redis.call('LPOS', KEYS[2], ARGV[1]) or KEYS[4] and redis.call('EXISTS', KEYS[4]) == 1 then
    return 0
end
local waits = redis.call('HGET', KEYS[3], 'status') == 'queued'
if waits then
    redis.call('LPUSH', KEYS[1], ARGV[1]) -- first, for without memory it fails
end
redis.call('LREM', KEYS[2], 1, ARGV[1])
return waits and 1 or 0
