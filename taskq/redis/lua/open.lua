-- Begin, resume or retry a map: every chunk that is neither pending nor held by a live worker becomes pending.
--
-- A map that was closed (it failed, timed out or was requeued) is opened again for what is left of it: a
-- chunk leaves the chunks hash only when all of its items have results, so the hash itself is the to-do list,
-- and the error records of an earlier try no longer count. A map that is still open lost its owner: only the
-- claims of workers without a lease go back, so that live helpers keep theirs.
--
-- KEYS  1 taskq:{id}   2 :chunks   3 :pending   4 :claims   5 :errors   6 :results   7 :spans   8 taskq:leases
--       9 rq:job:{id}
-- ARGV  1 name of the worker that becomes the owner   2 Unix time now
-- Returns {state before, flat fields of the hash}; {false} if there is no such map.

local state = redis.call('HGET', KEYS[1], 'state')
if not state then
    return {false}
end
local status = redis.call('HGET', KEYS[9], 'status')
if state == 'closed' and (status == 'canceled' or status == 'stopped') then
    return {state, redis.call('HGETALL', KEYS[1])} -- in this very moment; it must stay so
end
if state == 'closed' then
    redis.call('HSET', KEYS[1], 'failed', 0)
    redis.call('DEL', KEYS[3], KEYS[4], KEYS[5])
    local chunks = redis.call('HKEYS', KEYS[2])
    table.sort(chunks, function(a, b) return tonumber(a) < tonumber(b) end)
    for i = 1, #chunks do
        redis.call('RPUSH', KEYS[3], chunks[i])
    end
else
    local claims = redis.call('HGETALL', KEYS[4])
    for i = 1, #claims, 2 do
        local deaths, worker = string.match(claims[i + 1], '^(%d+) (.*)$')
        local lease = worker and redis.call('ZSCORE', KEYS[8], worker) -- a claim of no worker is nobody's
        if not lease or tonumber(lease) < tonumber(ARGV[2]) then
            redis.call('LPUSH', KEYS[3], claims[i] .. ':' .. (deaths or 0))
            redis.call('HDEL', KEYS[4], claims[i])
        end
    end
end
for i = 1, 7 do
    redis.call('PERSIST', KEYS[i])
end
redis.call('HSET', KEYS[1], 'state', 'open', 'owner', ARGV[1])
redis.call('HSETNX', KEYS[1], 'started', ARGV[2])
redis.call('HDEL', KEYS[1], 'reason', 'kill', 'helper', 'ended')
return {state, redis.call('HGETALL', KEYS[1])}
