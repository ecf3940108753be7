-- Take jobs from RQ's queues, in the order given, without a moment in which an id is in no list; and begin those that
-- are simple, with exactly what RQ's worker and its work horse write before a job runs.
--
-- A job is simple if its success means no more than storing its result: no map, no callback, dependency, repeat,
-- rate limit or webhook; and if no worker has died while it ran. All others stay in the intermediate list and are
-- begun by RQ's own code.
--
-- A job that has failed, was stopped or cancelled, and is no map, waits again: somebody has pushed its id.
--
-- RQ's keys of a job can't be named in KEYS, for nobody knows the job before.
--
-- KEYS  1 rq:suspended   2 taskq:leases   3 rq:worker:{name}   4 rq:worker:{name}:executions   5 taskq:held:{name}
--       6.. for each queue: rq:queue:{name}, rq:queue:{name}:intermediate, rq:wip:{name}
--       after that of a fetcher: taskq:fetched:{worker}:{name}, which it has just moved an id to
-- ARGV  1 worker name   2 how many jobs to take at most, besides what was moved; maps at the front are taken without
--       3 "1": one of each queue in turn; else all of the first, ...   4 "1": begin the simple ones
--       5 "1": it comes from a fetcher, for whom an id was just moved   6 seconds of RQ's monitoring
--       7, 8, 9 what RQ's keys begin with: of jobs, of executions, of a job's list of executions
--       10 24 hex digits that nobody else has: execution ids begin with them
--       11 seconds for which a heartbeat may be late
--       12 how many maps to take at most: they don't count as jobs, for they need no process
--       13 how many jobs and maps to take at most
--       14.. for each queue: "stage queue", which is noted of what is begun; how many maps to take of it at most;
--       "1": jobs, too, else only those maps before which no job waits
-- Returns an empty list if there was no job. Else how many are left in the queues, and of each job {number of the
-- queue, job id, execution id, Unix time of its beginning, {field, value, ...}}, without the last three if it was not
-- begun. That time, as all that is written, is the server's. What no job can have as its id (RQ's rule) is in no list
-- any more, and is returned without them.
-- Or -1 if RQ's workers are suspended, and then nothing was taken.

local waited = ARGV[5] == '1'
local moved = waited and KEYS[#KEYS]
local queues = waited and #KEYS - 1 or #KEYS

if redis.call('EXISTS', KEYS[1]) == 1 then
    while waited and redis.call('LMOVE', moved, KEYS[6], 'RIGHT', 'LEFT') do
    end
    return -1
end
redis.call('HEXISTS', KEYS[3], 'state') -- if they are of another type, this fails before anything is changed
redis.call('SCARD', KEYS[4])
redis.call('HLEN', KEYS[5])
local worker, monitoring, grace = ARGV[1], tonumber(ARGV[6]), tonumber(ARGV[11])
local reply, begun = {}, 0
local longest = 0
local exact, written, now -- Unix time, as a text too; as RQ writes it; in whole seconds

-- UTC, as RQ writes it. The calendar is Howard Hinnant's, "chrono-Compatible Low-Level Date Algorithms".
local function formatted(micros)
    local second = math.floor(micros / 1e6)
    local z = math.floor(second / 86400) + 719468
    local era = math.floor(z / 146097)
    local doe = z - era * 146097
    local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local mp = math.floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', yoe + era * 400 + (month <= 2 and 1 or 0), month,
        doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(second / 3600) % 24, math.floor(second / 60) % 60,
        second % 60, micros % 1e6)
end

local function look_at_the_clock()
    local time = redis.call('TIME')
    local micros = time[1] * 1e6 + time[2]
    exact, written, now = string.format('%.6f', micros / 1e6), formatted(micros), tonumber(time[1])
end

local function simple(fields)
    local function empty(name)
        return not fields[name] or fields[name] == ''
    end
    return fields['data'] and fields['status'] == 'queued' and not fields['taskq'] and not fields['taskq_trace']
        and not fields['taskq_deaths']
        and empty('success_callback_name') and empty('failure_callback_name') and empty('stopped_callback_name')
        and empty('dependency_ids') and empty('dependency_id') and empty('webhooks') and empty('rate_limit_key')
        and empty('repeats_left') and fields['result_ttl'] ~= '0'
        -- Numbers as RQ writes them: Lua, Python and Redis each read more than that, and each something else.
        and (empty('timeout') or string.match(fields['timeout'], '^%-?%d%d?%d?%d?%d?%d?%d?%d?%d?%.?%d*$'))
        and (empty('result_ttl') or string.match(fields['result_ttl'], '^%-?%d%d?%d?%d?%d?%d?%d?%d?%d?$'))
end

local ENDED = {failed = true, stopped = true, canceled = true}

-- Whether it is a map; what can't be read is none.
local function begin(number, id)
    if not string.match(id, '^[A-Za-z0-9_-]+$') then
        redis.call('LREM', KEYS[7 + 3 * number], 1, id)
        reply[#reply + 1] = {number, id}
        return false
    end
    local flat = redis.pcall('HGETALL', ARGV[7] .. id)
    local fields = {}
    for i = 1, #flat, 2 do
        fields[flat[i]] = flat[i + 1]
    end
    -- Its id was pushed again since it ended (RQ takes it off the queue as it cancels it), and RQ's worker would run
    -- it. One that is found so from now on was cancelled meanwhile.
    if ENDED[fields['status']] and not fields['taskq'] then
        redis.call('HSET', ARGV[7] .. id, 'status', 'queued')
        fields['status'] = 'queued'
        for i = 1, #flat, 2 do
            flat[i + 1] = fields[flat[i]]
        end
    end
    if ARGV[4] ~= '1' or flat.err or not simple(fields) then
        reply[#reply + 1] = {number, id}
        return string.sub(fields['taskq'] or '', 1, 3) == 'map'
    end
    if not now then
        look_at_the_clock()
    end
    local execution = string.format('%s%08x', ARGV[10], begun)
    local name = id .. ':' .. execution
    local timeout = tonumber(fields['timeout']) or 0
    local ttl = (timeout > 0 and math.floor(math.min(timeout, monitoring)) or monitoring) + grace
    -- First, for that key may be of another type: then RQ's own code is to meet it.
    local noted = redis.pcall('ZADD', ARGV[9] .. id, now + ttl + grace, execution)
    if type(noted) == 'table' then
        if string.find(noted.err, 'WRONGTYPE', 1, true) then
            reply[#reply + 1] = {number, id}
            return false
        end
        redis.call('ZADD', ARGV[9] .. id, now + ttl + grace, execution) -- fails as before, in the server's own words
    end
    longest = math.max(longest, ttl)
    redis.call('HSET', KEYS[5], name, ARGV[14 + 3 * number])
    redis.call('HSET', ARGV[8] .. name, 'id', execution, 'job_id', id, 'created_at', exact, 'last_heartbeat', exact,
        'worker_name', worker)
    redis.call('EXPIRE', ARGV[8] .. name, ttl)
    redis.call('EXPIRE', ARGV[9] .. id, ttl + grace)
    redis.call('ZADD', KEYS[8 + 3 * number], now + ttl, name)
    redis.call('SADD', KEYS[4], name)
    redis.call('HSET', ARGV[7] .. id, 'last_heartbeat', written, 'status', 'started', 'started_at', written,
        'worker_name', worker)
    redis.call('PERSIST', ARGV[7] .. id)
    redis.call('LREM', KEYS[7 + 3 * number], 1, id)
    begun = begun + 1
    reply[#reply + 1] = {number, id, execution, exact, flat}
    return false
end

local id = waited and redis.call('LMOVE', moved, KEYS[7], 'LEFT', 'RIGHT')
while id do -- also what was moved by a BLMOVE behind which no script came
    begin(0, id)
    id = redis.call('LMOVE', moved, KEYS[7], 'LEFT', 'RIGHT')
end

local left, maps, most, found = tonumber(ARGV[2]), tonumber(ARGV[12]), tonumber(ARGV[13]), nil
local room = {} -- for more maps, of each queue
for number = 0, (queues - 6) / 3 do
    room[number] = tonumber(ARGV[15 + 3 * number])
end

-- What is behind the one at the front waits as long as that; other queues don't.
local function is_wanted(queue, number)
    local jobs = left > 0 and ARGV[16 + 3 * number] == '1'
    if jobs and room[number] > 0 then
        return true
    end
    local id = redis.call('LINDEX', queue, 0)
    local kind = id and redis.pcall('HGET', ARGV[7] .. id, 'taskq')
    local is_map = type(kind) == 'string' and string.sub(kind, 1, 3) == 'map'
    return is_map and room[number] > 0 or not is_map and jobs
end

repeat
    found = false
    for i = 6, queues, 3 do
        local number = (i - 6) / 3
        while maps > 0 and most > 0 and is_wanted(KEYS[i], number) do
            local id = redis.call('LMOVE', KEYS[i], KEYS[i + 1], 'LEFT', 'RIGHT')
            if not id then
                break
            end
            if begin(number, id) then
                maps, room[number] = maps - 1, room[number] - 1
            else
                left = left - 1
            end
            found, most = true, most - 1
            if ARGV[3] == '1' then
                break
            end
        end
    end
until not found or ARGV[3] ~= '1' or maps == 0 or most == 0

if begun > 0 then
    redis.call('ZADD', KEYS[2], 'NX', 0, worker) -- so that somebody looks after them, if we were given up for dead
    redis.call('EXPIRE', KEYS[4], longest + grace)
    redis.call('HSET', KEYS[3], 'state', 'busy')
end
if #reply > 0 then
    local waiting = 0
    for i = 6, queues, 3 do
        waiting = waiting + redis.call('LLEN', KEYS[i])
    end
    table.insert(reply, 1, waiting)
end
return reply
