-- Strike memos off the register that are not there any more.
--
-- KEYS  1 the register   2.. memos
-- ARGV  1.. their names
-- Returns how many were struck off.

local gone = 0
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 0 then
        gone = gone + redis.call('ZREM', KEYS[1], ARGV[i - 1])
    end
end
return gone
