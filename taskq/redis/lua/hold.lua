-- Take reserved jobs off RQ's intermediate lists, and hold them: whoever takes an id from there begins the job.
--
-- KEYS  1 rq:suspended   2 taskq:leases   3 taskq:held:{worker}
--       4.. for each job: rq:queue:{name}:intermediate, rq:job:{id}
-- ARGV  1 worker name   2.. for each job: its id, the id of the execution that it is to be, "stage queue"
-- Returns for each job its hash {field, value, ...}; or false if it is not ours to begin (somebody took it for stranded,
-- and gave it back), or is gone. Said again, it returns the same of what is still held.
-- Or -1 if RQ's workers are suspended, and then nothing was taken.

if redis.call('EXISTS', KEYS[1]) == 1 then
    return -1
end

local function hold(list, job, id, name, value)
    local flat = redis.pcall('HGETALL', job)
    if redis.call('HEXISTS', KEYS[3], name) == 1 then
        return flat.err and {} or flat
    end
    local at = redis.pcall('LPOS', list, id)
    if not at or type(at) == 'table' then -- not there; or it is no list
        return false
    end
    if not flat.err and #flat > 0 then
        redis.call('HSET', KEYS[3], name, value) -- first, for without memory it fails
        redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[1]) -- so that somebody looks after it, if we were given up for dead
    end
    redis.call('LREM', list, 1, id)
    return not flat.err and #flat > 0 and flat
end

local reply = {}
for at = 2, #ARGV, 3 do
    local key = 4 + (at - 2) / 3 * 2
    reply[#reply + 1] = hold(KEYS[key], KEYS[key + 1], ARGV[at], ARGV[at] .. ':' .. ARGV[at + 1], ARGV[at + 2])
end
return reply
