-- Begin, resume or retry a map.
--
-- A map that was closed (it failed, timed out or was requeued) is opened again for what is left of it: what was
-- pending, claimed or had failed; the error records of an earlier try no longer count. That takes several calls if
-- much was claimed, or if much had failed before what failed earlier was through: each does a bounded part.
-- A map that is still open lost its owner; what dead workers hold of it is returned elsewhere (recovery.py).
--
-- KEYS  1 taskq:{id}   2 :pending   3 :again   4 :claims   5 :failed   6 :errors   7 :groups   8 rq:job:{id}
--       9 taskq:held:{worker}   10 :refusals   11.. the map's other keys
-- ARGV  1 the incarnation   2 name of the worker that becomes the owner   3 how much a call may move
--       4 where it goes on among the claims: "0", and then what the call before has said
--       5 the map's id   6 what the registers of open maps begin with   7 channel of all services   8 the note for them
--       9 as what the worker holds the job, "job id:execution id"; '' if it has no index of what it holds
-- Who has opened it, and has it closed, does not open it again: that is said twice, or comes late, and would have what has
-- failed run once more while its end is put on record. A retry holds the job as another execution.
--
-- Returns {state before, flat fields of the hash}; {'more', where to go on} if it is to be called again; {false} if
-- this incarnation is gone, or the job is not held any more: what was said long ago, and comes only now, would open a
-- map again that has ended.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'enough', 'opened')
if map[1] ~= ARGV[1] or map[2] == 'writing' or ARGV[9] ~= '' and redis.call('HEXISTS', KEYS[9], ARGV[9]) == 0 then
    return {false}
end
local state = map[2]
local status = redis.call('HGET', KEYS[8], 'status')
local again = ARGV[9] ~= '' and map[4] == ARGV[9]
if state == 'closed' and (again or status == 'canceled' or status == 'stopped') then
    return {state, redis.call('HGETALL', KEYS[1])} -- in this very moment; it must stay so
end
if state == 'closed' and not map[3] then -- what has all that it wants stays as it is: only its end was not recorded
    local left = tonumber(ARGV[3])
    redis.call('HSET', KEYS[1], 'failed', 0)
    redis.call('HDEL', KEYS[1], 'first', 'over', 'passed') -- what its source has by now is taken: see feed.lua
    redis.call('UNLINK', KEYS[6], KEYS[7], KEYS[10])
    redis.call('HDEL', KEYS[1], 'refused')
    if redis.call('EXISTS', KEYS[5]) == 1 then
        if redis.call('EXISTS', KEYS[3]) == 0 then
            redis.call('RENAME', KEYS[5], KEYS[3])
        else
            while left > 0 and redis.call('LMOVE', KEYS[5], KEYS[3], 'LEFT', 'RIGHT') do
                left = left - 1
            end
        end
    end
    -- Not from the beginning each time: Redis would look through all the places that have been emptied, or give up
    -- before it has found a claim. While the map is closed there are no new ones, so all have come up at the end.
    local cursor = ARGV[4]
    while left > 0 do
        local found = redis.call('HSCAN', KEYS[4], cursor, 'COUNT', 100)
        local claims = found[2]
        cursor = found[1]
        for i = 1, #claims, 2 do
            local deaths, body = string.match(claims[i + 1], '^%S+ (%d+) (%S+) ')
            redis.call('LPUSH', KEYS[2], table.concat({claims[i], deaths or 0, body or claims[i]}, ' '))
            redis.call('HDEL', KEYS[4], claims[i])
            left = left - 1
        end
        left = left - 1 -- also for having looked
        if cursor == '0' then
            break
        end
    end
    if redis.call('EXISTS', KEYS[4], KEYS[5]) > 0 then
        return {'more', cursor}
    end
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', 'open', 'owner', ARGV[2], 'opened', ARGV[9])
redis.call('HSETNX', KEYS[1], 'started', string.format('%d.%06d', time[1], time[2]))
redis.call('HDEL', KEYS[1], 'reason', 'kill', 'ended', 'until')
local queue = redis.call('HGET', KEYS[8], 'origin')
if queue then
    redis.call('HSET', KEYS[1], 'queue', queue)
    redis.pcall('ZADD', ARGV[6] .. queue, string.format('%d.%06d', time[1], time[2]), ARGV[5])
    redis.call('PUBLISH', ARGV[7], '{"command": "' .. ARGV[8] .. '", "map": "' .. ARGV[5] .. '"}')
end
for i = 1, #KEYS do
    if i ~= 8 and i ~= 9 then
        redis.call('PERSIST', KEYS[i])
    end
end
return {state, redis.call('HGETALL', KEYS[1])}
