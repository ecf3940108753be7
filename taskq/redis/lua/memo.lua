-- Say what a memo is of, and keep it for so long from now on.
--
-- KEYS  1 the memo   2 what its generation holds   3 the register of memos   4 what the generation before held
-- ARGV  1 its name   2 the header that is known, '' if there is none   3 the one which is to be there
--       4 seconds for which a result counts; -1: for ever   5 seconds for which all is kept beyond that
-- Returns 1; 0 if another header is there than is known, and then nothing was changed.

if (redis.call('HGET', KEYS[1], 'header') or '') ~= ARGV[2] then
    return 0
end
redis.call('ZADD', KEYS[3], redis.call('TIME')[1], ARGV[1])
redis.call('HSET', KEYS[1], 'header', ARGV[3], 'entries', KEYS[2], 'ttl', ARGV[4])
for i = 1, 2 do
    if tonumber(ARGV[4]) < 0 then
        redis.call('PERSIST', KEYS[i])
    else
        redis.call('EXPIRE', KEYS[i], math.ceil(ARGV[4]) + ARGV[5])
    end
end
if KEYS[4] ~= KEYS[2] then
    redis.call('UNLINK', KEYS[4])
end
return 1
