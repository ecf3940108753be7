-- Reserve a map's id for one producer, before it writes the first chunk.
--
-- KEYS  1 taskq:{id}   2 :function
-- ARGV  1 seconds after which the keys expire if the producer dies while writing
--       2 the incarnation, which no other producer has drawn   3 the pickled function
--       4.. field, value, ... of the hash
-- Returns 1, also if this very producer has reserved it before and only the reply was lost; 0 if a map with this
-- id exists already, and then nothing was changed.

if redis.call('EXISTS', KEYS[1]) == 1 then
    return redis.call('HGET', KEYS[1], 'incarnation') == ARGV[2] and 1 or 0
end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'writing', 'incarnation', ARGV[2], 'done', 0, 'failed', 0, 'next', 0,
    unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
