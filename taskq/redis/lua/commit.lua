-- Store everything that came out of one chunk, once (invariant I1).
--
-- The claim is the guard: it is deleted here, and without exactly this claim nothing is stored. So a second
-- commit of the same run, a commit by a worker that was given up for dead, or one after the map was closed,
-- changes nothing.
--
-- KEYS  1 taskq:{id}  2 :chunks  3 :claims  4 :results  5 :spans  6 :errors  7 taskq:timeline  8 :pending
-- ARGV  1 chunk number
--       2 the claim, "deaths worker"
--       3 header of what is left of the chunk for a retry, '' if no item of it failed
--       4 number of spans   5 number of error records   6 maximal length of the timeline
--       7 channel of the map's events   8 template of a worker's channel, with %s
--       9 number of parts of the chunk that did not run   10 deaths to note for them
--       11 number of timeline values, then: field, value, ...
--       then: spans; item index, record for each error; parts (a payload, or a header for the chunk's own
--       pickle); results
-- Returns {1, done, failed, total, pending}; {0} if the claim is not held.

local chunk, spans, errors, parts = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[9])
if redis.call('HGET', KEYS[3], chunk) ~= ARGV[2] then
    return {0}
end
local map = redis.call('HMGET', KEYS[1], 'total', 'owner', 'state')
if map[3] ~= 'open' then
    redis.call('HDEL', KEYS[3], chunk)
    return {0}
end

local total = tonumber(map[1])
local body = parts > 0 or ARGV[3] ~= ''
if body then
    local payload = redis.call('HGET', KEYS[2], chunk)
    body = string.sub(payload, string.find(payload, '\n', 1, true) + 1)
end

-- Lua's stack holds fewer values than a chunk may have, so a long run of them is written in steps.
local function write(command, key, first, last)
    for i = first, last, 4000 do
        redis.call(command, key, unpack(ARGV, i, math.min(i + 3999, last)))
    end
end

-- First what needs memory: without any the very first command fails, and nothing has changed.
local timeline = 12
local at = timeline + tonumber(ARGV[11])
redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[6], '*', unpack(ARGV, timeline, at - 1))
write('RPUSH', KEYS[5], at, at + spans - 1)
at = at + spans
write('HSET', KEYS[6], at, at + 2 * errors - 1)
at = at + 2 * errors

local number = parts > 0 and redis.call('HINCRBY', KEYS[1], 'chunks', parts)
for i = at + parts - 1, at, -1 do -- the last one first, for each goes to the front
    local part = ARGV[i]
    if string.find(part, '\n', 1, true) == #part then
        part = part .. body
    end
    number = number - 1
    redis.call('HSET', KEYS[2], number, part)
    redis.call('LPUSH', KEYS[8], number .. ':' .. ARGV[10])
end
at = at + parts
write('RPUSH', KEYS[4], at, #ARGV)

if ARGV[3] ~= '' then
    -- Under a new number, for the old one means all of the chunk's items: see split.lua.
    redis.call('HSET', KEYS[2], redis.call('HINCRBY', KEYS[1], 'chunks', 1) - 1, ARGV[3] .. body)
end
redis.call('HDEL', KEYS[2], chunk)
redis.call('HDEL', KEYS[3], chunk)

local done = redis.call('HINCRBY', KEYS[1], 'done', #ARGV - at + 1)
local failed = redis.call('HINCRBY', KEYS[1], 'failed', errors)
redis.call('PUBLISH', ARGV[7], 'progress')
if done + failed >= total and map[2] then
    -- Whoever commits the last chunk tells the owner, which finishes the RQ job.
    redis.call('PUBLISH', (string.gsub(ARGV[8], '%%s', (string.gsub(map[2], '%%', '%%%%')))),
        '{"command": "taskq-complete"}')
end
return {1, done, failed, total, redis.call('LLEN', KEYS[8])}
