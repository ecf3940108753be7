-- What waits in some queues: jobs, and chunks of open maps; and whether anything may be begun. What is in a register
-- and not open is taken off it, and what is no register is deleted: owners enter their maps anew.
--
-- The keys of maps can't be named in KEYS, for nobody knows them before.
--
-- KEYS  1 rq:suspended
-- ARGV  1 what the registers of open maps begin with   2, 3 what stands before and after a map's id in its keys
--       4 what RQ's queues begin with   5 how many maps of a queue are looked at   6 from which on: 0, 1, ...
--       7 worker name   8.. names of queues
-- Returns whether RQ's workers are suspended (1 or 0), and for each queue in which something waits or runs {its number
-- from 0, jobs, {map id, incarnation, weight, chunks that may be claimed now (of one that is paused: 0),
-- chunks claimed, if none may be claimed: seconds until one may, '' if that is not known, or at once; and, if none may,
-- until one is to run a second time, 0: now (stragglers.lua)},  ...}.

--include room
--include stragglers

local most, from = tonumber(ARGV[5]), tonumber(ARGV[6])

-- Whatever stands in a key by now.
local function count(command, key)
    local reply = redis.pcall(command, key)
    return type(reply) == 'number' and reply or 0
end

local function look_at(register, id, found)
    local key = ARGV[2] .. id .. ARGV[3]
    local map = redis.pcall('HMGET', key, 'incarnation', 'state', 'weight', 'paused', 'max_running', 'rate', 'retries',
        'speculate', 'enough')
    if map.err or map[2] ~= 'open' then
        redis.call('ZREM', register, id)
        return
    end
    local pending, wait = map[4] and 0 or count('LLEN', key .. ':pending') + count('LLEN', key .. ':again'), ''
    if not map[4] and (map[5] or map[6] or map[7]) then
        local keys = {key .. ':pending', key .. ':again', key .. ':claims', key .. ':later',
            key .. ':starts:' .. (map[1] or '')}
        local sound, left, seconds = pcall(room, keys, {map[5], map[6], map[7]}, moment())
        if sound then -- else who claims of it says what is wrong
            pending, wait = left, seconds
        end
    end
    local second = ''
    if map[8] and pending == 0 and not (map[4] or map[5] or map[6] or map[9]) then
        local keys = {key .. ':claims', key .. ':copies', key .. ':since', key .. ':took'}
        local sound, _, seconds = pcall(stragglers, keys, ARGV[7], 1, moment())
        second = sound and seconds or ''
    end
    found[#found + 1] = {id, map[1] or '', map[3] or '', pending, count('HLEN', key .. ':claims'), wait, second}
end

local reply = {redis.call('EXISTS', KEYS[1])}
for i = 8, #ARGV do
    local found = {i - 8, count('LLEN', ARGV[4] .. ARGV[i])}
    local register = ARGV[1] .. ARGV[i]
    local length = redis.pcall('ZCARD', register)
    if type(length) ~= 'number' then
        redis.call('DEL', register)
    elseif length > 0 then
        local first = length > most and from % length or 0
        local ids = redis.call('ZRANGE', register, first, first + most - 1)
        for _, id in ipairs(ids) do
            look_at(register, id, found)
        end
    end
    if found[2] > 0 or #found > 2 then
        reply[#reply + 1] = found
    end
end
return reply
