-- Which items of some ranges have no error record.
--
-- KEYS  1 taskq:{id}   2 :errors
-- ARGV  1 the incarnation   2.. first item, number of items, ... of each range
-- Returns the first of them that has none; -1 if all have one; -2 if this incarnation is gone. Records are not read:
-- they may be large.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
    return -2
end
for i = 2, #ARGV, 2 do
    local first = tonumber(ARGV[i])
    for index = first, first + ARGV[i + 1] - 1 do
        if redis.call('HEXISTS', KEYS[2], string.format('%.0f', index)) == 0 then
            return index
        end
    end
end
return -1
