-- Take back what a push has said of a memo (memo.lua), for it has failed; unless another push has used it since.
--
-- KEYS  1 the memo   2 what its generation holds   3 the register of memos   4 what the generation before held
-- ARGV  1 its name   2 the header that it has written   3 the one before, '' if there was none
--       4 how many pushes there had been with this one   5 seconds for which a result counted before; -1: for ever
--       6 seconds for which all is kept beyond that
-- Returns 1; 0 if nothing was changed.

local there = redis.call('HMGET', KEYS[1], 'header', 'pushes')
if there[1] ~= ARGV[2] or there[2] ~= ARGV[4] then
    return 0
end
if ARGV[3] == '' then
    redis.call('UNLINK', KEYS[1], KEYS[2])
    redis.call('ZREM', KEYS[3], ARGV[1])
    return 1
end
if KEYS[4] ~= KEYS[2] then
    redis.call('UNLINK', KEYS[2])
end
redis.call('HSET', KEYS[1], 'header', ARGV[3], 'entries', KEYS[4], 'ttl', ARGV[5])
for _, key in ipairs({KEYS[1], KEYS[4]}) do
    if (tonumber(ARGV[5]) or -1) < 0 then
        redis.call('PERSIST', key)
    else
        redis.call('EXPIRE', key, math.ceil(ARGV[5]) + ARGV[6])
    end
end
return 1
