-- Add items to a map that is being written, of which some have results already, which were in a memo.
--
-- KEYS  1 taskq:{id}   2 :bodies   3 :pending   4 :function   5 :results   6 :spans   7 :memo
-- ARGV  1 seconds after which the keys expire if the producer dies   2 the incarnation
--       3 how many items were written before these   4 how many there are with these
--       5 number of chunks   6 number of spans of results   7 number of items that are to be in the memo
--       then: range, body for each chunk; spans; item index, signature and key for each such item; results
-- Returns as write.lua.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'next', 'state')
if map[1] ~= ARGV[2] then
    return 0
end
if map[3] ~= 'writing' then
    return 1
end

--include steps

if map[2] == ARGV[3] then
    local first_span = 8 + 2 * ARGV[5]
    local first_key = first_span + ARGV[6]
    local first_result = first_key + 2 * ARGV[7]
    for i = 8, first_span - 1, 2 do
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
        redis.call('RPUSH', KEYS[3], ARGV[i])
    end
    write('RPUSH', KEYS[6], first_span, first_key - 1)
    write('HSET', KEYS[7], first_key, first_result - 1)
    write('RPUSH', KEYS[5], first_result, #ARGV)
    local hits = #ARGV - first_result + 1
    if hits > 0 then
        redis.call('HINCRBY', KEYS[1], 'done', hits)
        redis.call('HINCRBY', KEYS[1], 'memo_hits', hits)
    end
    redis.call('HSET', KEYS[1], 'next', ARGV[4])
elseif map[2] ~= ARGV[4] then
    return -1
end
for i = 1, #KEYS do
    redis.call('EXPIRE', KEYS[i], ARGV[1])
end
return 1
