-- Store everything that came out of one chunk, once (invariant I1).
--
-- The claim is the guard: it is deleted here, and without exactly this claim nothing is stored. So a second
-- commit of the same run, a commit by a worker that was given up for dead, or one after the map was closed,
-- changes nothing.
--
-- KEYS  1 taskq:{id}  2 :chunks  3 :claims  4 :results  5 :spans  6 :errors  7 taskq:timeline
-- ARGV  1 chunk number
--       2 the claim, "deaths worker"
--       3 header of what is left of the chunk, '' if all of its items have results
--       4 number of spans   5 number of error records   6 maximal length of the timeline
--       7 channel of the map's events   8 template of a worker's channel, with %s
--       9 number of timeline values, then: field, value, ...
--       then: spans; item index, record for each error; results
-- Returns {1, done, failed, total}; {0} if the claim is not held.

local chunk, spans, errors = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('HGET', KEYS[3], chunk) ~= ARGV[2] then
    return {0}
end
redis.call('HDEL', KEYS[3], chunk)
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then
    return {0}
end

-- Lua's stack holds fewer values than a chunk may have, so a long run of them is written in steps.
local function write(command, key, first, last)
    for i = first, last, 4000 do
        redis.call(command, key, unpack(ARGV, i, math.min(i + 3999, last)))
    end
end

if ARGV[3] == '' then
    redis.call('HDEL', KEYS[2], chunk)
else
    local payload = redis.call('HGET', KEYS[2], chunk)
    redis.call('HSET', KEYS[2], chunk, ARGV[3] .. string.sub(payload, string.find(payload, '\n', 1, true) + 1))
end

local timeline = 10
local at = timeline + tonumber(ARGV[9])
redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[6], '*', unpack(ARGV, timeline, at - 1))
write('RPUSH', KEYS[5], at, at + spans - 1)
at = at + spans
write('HSET', KEYS[6], at, at + 2 * errors - 1)
at = at + 2 * errors
write('RPUSH', KEYS[4], at, #ARGV)

local done = redis.call('HINCRBY', KEYS[1], 'done', #ARGV - at + 1)
local failed = redis.call('HINCRBY', KEYS[1], 'failed', errors)
local map = redis.call('HMGET', KEYS[1], 'total', 'owner')
local total = tonumber(map[1])
redis.call('PUBLISH', ARGV[7], 'progress')
if done + failed >= total and map[2] then
    -- Whoever commits the last chunk tells the owner, which finishes the RQ job.
    redis.call('PUBLISH', (string.gsub(ARGV[8], '%%s', (string.gsub(map[2], '%%', '%%%%')))),
        '{"command": "taskq-complete"}')
end
return {1, done, failed, total}
