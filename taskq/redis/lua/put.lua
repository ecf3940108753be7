-- Add chunks to an open map, and renew its producer's lease; or only that.
--
-- Chunks are added where the map ends, so to add them a second time (only the reply was lost, or it is said long
-- after) changes nothing. A producer that hears that the map ends before what it has added knows that the server
-- came back as it was some moments before, and adds them again.
--
-- KEYS  1 taskq:{id}   2 :bodies   3 :pending   4 :memo
-- ARGV  1 the incarnation   2 the feeder   3 seconds of its lease
--       4 how many items the map has before these, for the producer   5 how many with these
--       6 channel of all services   7 the note for them that chunks are pending
--       8 number of items that are to be in the memo
--       9 with a secret key: the signature over the number of items with these; '' without
--       10.. item index, signature and key for each such item; then range, body, ... for each chunk
-- Returns {state, items, done, failed}; the state is '' if this incarnation is gone, 'sealed' if it can't get any more
-- items, 'other' if somebody else feeds it, 'enough' if it has all results that it wants, else the map's. Nothing was changed unless that is 'open'. The numbers are as
-- they stand there.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'feeder', 'lease', 'next', 'done', 'failed',
    'enough')
if map[1] ~= ARGV[1] then
    return {'', '', '', ''}
end
local reply = {map[2], map[5] or '', map[6] or '', map[7] or ''}
if not map[4] then
    reply[1] = 'sealed'
elseif map[3] ~= ARGV[2] then
    reply[1] = 'other'
elseif map[8] then
    reply[1] = 'enough'
end
if reply[1] ~= 'open' then
    return reply
end

--include steps

local waits = redis.call('EXISTS', KEYS[3]) == 1
local first_chunk = 10 + 2 * ARGV[8]
if map[5] == ARGV[4] and #ARGV >= first_chunk then
    write('HSET', KEYS[4], 10, first_chunk - 1)
    for i = first_chunk, #ARGV, 2 do
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
        redis.call('RPUSH', KEYS[3], ARGV[i])
    end
    local ttl = redis.call('TTL', KEYS[1])
    for i = 2, ttl >= 0 and 4 or 0 do -- nobody has begun it yet
        redis.call('EXPIRE', KEYS[i], ttl)
    end
    redis.call('HSET', KEYS[1], 'next', ARGV[5], unpack(ARGV[9] ~= '' and {'put_seal', ARGV[9]} or {}))
    reply[2] = ARGV[5]
    if not waits then
        redis.call('PUBLISH', ARGV[6], ARGV[7]) -- and nobody who waits for results: these are no more by this
    end
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'lease', string.format('%.6f', time[1] + time[2] / 1e6 + ARGV[3]))
return reply
