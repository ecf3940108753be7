-- Say what a memo is of, and keep it for so long from now on.
--
-- KEYS  1 the memo   2 what its generation holds   3 the register of memos   4 what the generation before held
-- ARGV  1 its name   2 the header that is known, '' if there is none   3 the one which is to be there
--       4 seconds for which a result counts; -1: for ever   5 seconds for which all is kept beyond that
--       6 seconds for which what the generation before held is kept: the push may fail, see memo_undo.lua
-- Returns {how many pushes have said so, what was at 4 before}; {} if another header is there than is known, and then
-- nothing was changed.

if (redis.call('HGET', KEYS[1], 'header') or '') ~= ARGV[2] then
    return {}
end
local pushes = (tonumber(redis.call('HGET', KEYS[1], 'pushes') or 0) or 0) + 1
local before = redis.call('HGET', KEYS[1], 'ttl') or ''
redis.call('ZADD', KEYS[3], redis.call('TIME')[1], ARGV[1])
redis.call('HSET', KEYS[1], 'header', ARGV[3], 'entries', KEYS[2], 'ttl', ARGV[4], 'pushes', pushes)
for i = 1, 2 do
    if tonumber(ARGV[4]) < 0 then
        redis.call('PERSIST', KEYS[i])
    else
        redis.call('EXPIRE', KEYS[i], math.ceil(ARGV[4]) + ARGV[5])
    end
end
if KEYS[4] ~= KEYS[2] then
    redis.call('EXPIRE', KEYS[4], ARGV[6])
end
return {pushes, before}
