-- Make RQ's records of what a worker holds anew, and beat for them: all may have expired while the server was away.
--
-- What is not held any more is left alone: it has ended, or is another's by now. What is held and has failed was taken
-- for abandoned, by somebody who looked into RQ's registry before we came back; it runs. Unless that is another job,
-- or another run: its id was pushed again, and it ended elsewhere while we still run the former.
--
-- And what the index of what we hold has lost is put back: nobody has taken over from who has a lease, and RQ's records
-- say that it is our run. Else nobody would record its end, and it would run for ever by what RQ knows.
--
-- KEYS  1 taskq:held:{worker}   2 rq:worker:{name}:executions   3 taskq:leases
-- ARGV  1 worker name   2 seconds until the records expire   3 now, as RQ writes it
--       4, 5, 6, 7, 8 what RQ's keys begin with: of jobs, of executions, of a job's list of executions, of the jobs in
--       work, of those that have failed
--       9 seconds for which a heartbeat may be late
--       10.. for each: job id, execution id, queue, Unix time of its beginning; the fields created_at and taskq that
--       the job had then, '' for none; what the index says of it
-- Returns for each 1; 2 if it was put back; 0 if it is not held.

local time = redis.call('TIME')
local ttl, grace = tonumber(ARGV[2]), tonumber(ARGV[9])
local lease = redis.pcall('ZSCORE', KEYS[3], ARGV[1])
local alive = type(lease) == 'string' and tonumber(lease) > time[1] + time[2] / 1e6
local reply = {}

--include is_other

-- A key may hold anything by now, and the server may have no memory: each record is made as far as that goes.
local function mirror(id, execution, queue, began, created, kind, entry)
    local name, job, done = id .. ':' .. execution, ARGV[4] .. id, 1
    if redis.call('HEXISTS', KEYS[1], name) == 0 then
        local runs = alive and redis.call('EXISTS', ARGV[5] .. name) == 1 -- what has ended has no record any more
        local now = runs and redis.pcall('HMGET', job, 'status', 'worker_name', 'created_at', 'taskq') or {}
        if now[1] ~= 'started' or now[2] ~= ARGV[1] or is_other(created, now[3]) or (now[4] or '') ~= kind then
            return 0
        end
        redis.call('HSET', KEYS[1], name, entry)
        done = 2
    end
    redis.pcall('HSET', ARGV[5] .. name, 'id', execution, 'job_id', id, 'created_at', began, 'last_heartbeat',
        string.format('%.6f', time[1] + time[2] / 1e6), 'worker_name', ARGV[1])
    redis.pcall('EXPIRE', ARGV[5] .. name, ttl)
    redis.pcall('ZADD', ARGV[6] .. id, time[1] + ttl + grace, execution)
    redis.pcall('EXPIRE', ARGV[6] .. id, ttl + grace)
    redis.pcall('ZADD', ARGV[7] .. queue, time[1] + ttl, name)
    redis.pcall('SADD', KEYS[2], name)
    if redis.call('EXISTS', job) == 1 then
        redis.pcall('HSET', job, 'last_heartbeat', ARGV[3])
        local now = redis.pcall('HMGET', job, 'status', 'worker_name', 'created_at', 'taskq')
        if now[1] == 'failed' and now[2] == ARGV[1] and not is_other(created, now[3]) and (now[4] or '') == kind then
            redis.pcall('HSET', job, 'status', 'started')
            redis.pcall('PERSIST', job)
            redis.pcall('ZREM', ARGV[8] .. queue, id)
        end
    end
    return done
end

for at = 10, #ARGV, 7 do
    reply[#reply + 1] = mirror(unpack(ARGV, at, at + 6))
end
redis.pcall('EXPIRE', KEYS[2], ttl + grace)
return reply
