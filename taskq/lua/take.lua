-- Take jobs from RQ's queues, in the order given, without a moment in which an id is in no list; and begin those that
-- are simple, with exactly what RQ's worker and its work horse write before a job runs.
--
-- A job is simple if its success means no more than storing its result: no map, no callback, dependency, repeat,
-- rate limit or webhook. All others stay in the intermediate list and are begun by RQ's own code.
--
-- RQ's keys of a job can't be named in KEYS, for nobody knows the job before.
--
-- KEYS  1 rq:suspended   2 taskq:leases   3 rq:worker:{name}   4 rq:worker:{name}:executions
--       5.. for each queue: rq:queue:{name}, rq:queue:{name}:intermediate, rq:wip:{name}
-- ARGV  1 worker name   2 how many to take at most   3 "1": one of each queue in turn; else all of the first, ...
--       4 "1": begin the simple ones   5 Unix time now   6 the same as RQ writes it   7 seconds of RQ's monitoring
--       8, 9, 10 what RQ's keys begin with: of jobs, of executions, of a job's list of executions
--       11 24 hex digits that nobody else has: execution ids begin with them
--       12 number of jobs that a fetcher has taken before, then: number of the queue (from 0), job id of each
-- Returns a list of {number of the queue, job id, execution id, {field, value, ...}}, without the last two if it
-- was not begun; or -1 if RQ's workers are suspended, and then nothing was taken.

if redis.call('EXISTS', KEYS[1]) == 1 then
    return -1
end

local worker, now, monitoring = ARGV[1], math.floor(ARGV[5]), tonumber(ARGV[7])
local reply, begun = {}, 0
local longest = 0

local function simple(fields)
    local function empty(name)
        return not fields[name] or fields[name] == ''
    end
    return fields['data'] and fields['status'] == 'queued' and not fields['taskq'] and not fields['taskq_trace']
        and empty('success_callback_name') and empty('failure_callback_name') and empty('stopped_callback_name')
        and empty('dependency_ids') and empty('dependency_id') and empty('webhooks') and empty('rate_limit_key')
        and empty('repeats_left') and fields['result_ttl'] ~= '0'
        and (empty('timeout') or tonumber(fields['timeout'])) and (empty('result_ttl') or tonumber(fields['result_ttl']))
end

local function begin(number, id)
    local flat = redis.pcall('HGETALL', ARGV[8] .. id)
    local fields = {}
    for i = 1, #flat, 2 do
        fields[flat[i]] = flat[i + 1]
    end
    local kind = redis.call('TYPE', ARGV[10] .. id)
    kind = kind.ok or kind
    if ARGV[4] ~= '1' or flat.err or not simple(fields) or (kind ~= 'none' and kind ~= 'zset') then
        reply[#reply + 1] = {number, id}
        return
    end
    local execution = string.format('%s%08x', ARGV[11], begun)
    local name = id .. ':' .. execution
    local timeout = tonumber(fields['timeout']) or 0
    local ttl = (timeout > 0 and math.floor(math.min(timeout, monitoring)) or monitoring) + 60
    longest = math.max(longest, ttl)
    redis.call('HSET', ARGV[9] .. name, 'id', execution, 'job_id', id, 'created_at', ARGV[5], 'last_heartbeat', ARGV[5],
        'worker_name', worker)
    redis.call('EXPIRE', ARGV[9] .. name, ttl)
    redis.call('ZADD', ARGV[10] .. id, now + ttl + 60, execution)
    redis.call('EXPIRE', ARGV[10] .. id, ttl + 60)
    redis.call('ZADD', KEYS[7 + 3 * number], now + ttl, name)
    redis.call('SADD', KEYS[4], name)
    redis.call('HSET', ARGV[8] .. id, 'last_heartbeat', ARGV[6], 'status', 'started', 'started_at', ARGV[6],
        'worker_name', worker)
    redis.call('PERSIST', ARGV[8] .. id)
    redis.call('LREM', KEYS[6 + 3 * number], 1, id)
    begun = begun + 1
    reply[#reply + 1] = {number, id, execution, flat}
end

for i = 13, #ARGV, 2 do
    local number = tonumber(ARGV[i])
    -- Not if we were away so long that another service took it for stranded.
    if redis.call('LPOS', KEYS[6 + 3 * number], ARGV[i + 1]) then
        begin(number, ARGV[i + 1])
    end
end

local left, found = tonumber(ARGV[2]), nil
repeat
    found = false
    for i = 5, #KEYS, 3 do
        while left > 0 do
            local id = redis.call('LMOVE', KEYS[i], KEYS[i + 1], 'LEFT', 'RIGHT')
            if not id then
                break
            end
            begin((i - 5) / 3, id)
            left = left - 1
            found = true
            if ARGV[3] == '1' then
                break
            end
        end
    end
until not found or ARGV[3] ~= '1' or left == 0

if begun > 0 then
    redis.call('ZADD', KEYS[2], 'NX', 0, worker) -- so that somebody looks after them, if we were given up for dead
    redis.call('EXPIRE', KEYS[4], longest + 60)
    redis.call('HSET', KEYS[3], 'state', 'busy')
end
return reply
