-- Which items of some ranges have no error record.
--
-- KEYS  1 taskq:{id}:errors
-- ARGV  first item, number of items, ... of each range
-- Returns the first of them that has none; -1 if all have one. Records are not read: they may be large.

for i = 1, #ARGV, 2 do
    local first = tonumber(ARGV[i])
    for index = first, first + ARGV[i + 1] - 1 do
        if redis.call('HEXISTS', KEYS[1], string.format('%.0f', index)) == 0 then
            return index
        end
    end
end
return -1
