-- Reserve a map's id for one producer, before it writes the first chunk.
--
-- Without the map's hash, what else stands under its id is of one that has expired: it can come back if the server's
-- clock is set back before the server has come to remove it.
--
-- KEYS  1 taskq:{id}   2 :function   3 taskq:schema   4 taskq:leases   5.. all others that hold a map's data
-- ARGV  1 seconds after which the keys expire if the producer dies while writing
--       2 the incarnation, which no other producer has drawn   3 the pickled function, or its first piece (append.lua)
--       4 the producer's schema; '' if it has just asked whether it may write here (schema.lua)
--       5.. field, value, ... of the hash; 'writer': seconds for which its producer may be silent
-- Returns 1, also if this very producer has reserved it before and only the reply was lost; 0 if a map with this
-- id exists already, -1 if the producer must ask first, and then nothing was changed.

if ARGV[4] ~= '' then
    local known = redis.pcall('HMGET', KEYS[3], 'least', 'greatest', 'fresh')
    local own, least, greatest = tonumber(ARGV[4]), tonumber(known[1]), tonumber(known[2])
    if (tonumber(known[3]) or 0) < tonumber(redis.call('TIME')[1]) or not least or not greatest then
        if redis.call('EXISTS', KEYS[3], KEYS[4]) > 0 then
            return -1
        end
    elseif least < 2 or greatest - own > 1 or own - least > 1 then
        return -1
    end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
    return redis.call('HGET', KEYS[1], 'incarnation') == ARGV[2] and 1 or 0
end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[1]) -- first, for without memory it fails
redis.call('UNLINK', unpack(KEYS, 5))
redis.call('HSET', KEYS[1], 'state', 'writing', 'incarnation', ARGV[2], 'done', 0, 'failed', 0, 'next', 0,
    unpack(ARGV, 5))
local lease = redis.call('HGET', KEYS[1], 'writer') -- seconds from now on, until here
if lease then
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[1], 'writer', string.format('%.6f', time[1] + time[2] / 1e6 + lease))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
