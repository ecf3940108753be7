-- Record the success of simple jobs (see take.lua), with exactly what RQ's worker writes.
--
-- What is no longer ours is passed over: its end is on record, or we were given up for dead and it runs elsewhere.
-- What is another job by now, since its id was pushed again, is not simple any more.
-- The index of what the worker holds tells; its entry is removed here. RQ's execution may have expired meanwhile. A job
-- that was deleted, and its executions with it, is let go of.
--
-- KEYS  1 rq:worker:{name}   2 rq:worker:{name}:executions   3 taskq:held:{name}
-- ARGV  1 worker name   2, 3, 4, 5, 6, 7 what RQ's keys begin with: of jobs, of executions, of a job's list of
--       executions, of results, of the jobs in work, of the finished ones
--       then for each job: id, execution id, queue name, seconds to keep the result (-1: for ever), when it was
--       started and when it ended as RQ writes it, the same in Unix time, the result (base64, '' for None), Unix
--       time at which it was taken; when it was pushed, as its hash had it then
-- Returns for each job 1; 0 if it is not ours; 2 if it is not simple any more, and then nothing was done. And then 1 if
-- the worker has nothing left to do, and was noted as idle; else 0.

local reply, count, seconds = {}, 0, 0
local time = redis.call('TIME')

--include is_other

local function finish(at)
    local id, execution, queue, ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    local name, job, results = id .. ':' .. execution, ARGV[2] .. id, ARGV[5] .. id
    if redis.call('HEXISTS', KEYS[3], name) == 0 then
        return 0
    end
    local known = redis.call('HMGET', job, 'status', 'taskq', 'created_at')
    if not known[1] and redis.call('EXISTS', job) == 0 then
        if redis.call('EXISTS', ARGV[3] .. name) == 1 then
            return 2
        end
        redis.call('HDEL', KEYS[3], name)
        redis.call('SREM', KEYS[2], name)
        return 0
    end
    if known[2] or known[3] ~= ARGV[at + 10] and is_other(ARGV[at + 10], known[3]) then
        return 2
    end
    if redis.call('EXISTS', job .. ':dependents') == 1 then
        return 2
    end
    local result = {'type', '1', 'worker_name', ARGV[1]}
    if ARGV[at + 8] ~= '' then
        result[5], result[6] = 'return_value', ARGV[at + 8]
    end
    for _, value in ipairs({'execution_id', execution, 'execution_started_at', ARGV[at + 9],
        'execution_ended_at', ARGV[at + 7]}) do
        result[#result + 1] = value
    end
    -- First, for without memory it fails. A stream whose last id is the greatest there is takes nothing more, and what
    -- is no stream takes nothing at all.
    local added = redis.pcall('XADD', results, 'MAXLEN', '~', 10, '*', unpack(result))
    if type(added) == 'table' and added.err then
        if string.find(added.err, 'exhausted', 1, true) or string.find(added.err, 'WRONGTYPE', 1, true) then
            return 2
        end
        redis.call('XADD', results, '*', unpack(result)) -- fails as before, and says so in the server's own words
    end
    redis.call('HSET', job, 'status', 'finished', 'started_at', ARGV[at + 4], 'ended_at', ARGV[at + 5])
    if ttl < 0 then
        redis.call('PERSIST', results)
        redis.call('ZADD', ARGV[7] .. queue, '+inf', id)
    else
        redis.call('EXPIRE', results, ttl)
        redis.call('ZADD', ARGV[7] .. queue, time[1] + ttl, id)
        redis.call('EXPIRE', job, ttl)
    end
    redis.call('DEL', ARGV[3] .. name)
    redis.call('ZREM', ARGV[6] .. queue, name)
    redis.pcall('ZREM', ARGV[4] .. id, execution) -- whatever that key is by now
    redis.call('SREM', KEYS[2], name)
    redis.call('HDEL', KEYS[3], name)
    count = count + 1
    seconds = seconds + ARGV[at + 7] - ARGV[at + 6]
    return 1
end

for at = 8, #ARGV, 11 do
    reply[#reply + 1] = finish(at)
end
local idle = 0
if count > 0 then
    redis.call('HINCRBY', KEYS[1], 'successful_job_count', count)
    redis.call('HINCRBYFLOAT', KEYS[1], 'total_working_time', string.format('%.6f', seconds))
    if redis.call('EXISTS', KEYS[3]) == 0 and redis.call('HGET', KEYS[1], 'state') == 'busy' then -- not "suspended"
        redis.call('HSET', KEYS[1], 'state', 'idle') -- in a word of its own it would take as long as all of this
        idle = 1
    end
end
reply[#reply + 1] = idle
return reply
