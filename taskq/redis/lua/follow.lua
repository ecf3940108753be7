-- Note at a map that another one's items are its results: who commits to it feeds that one at once (feed.lua).
--
-- It is said in the transaction that announces the other one. That nobody knows of it here costs that one a
-- second, so nothing is done for a map that is gone by now.
--
-- KEYS  1 taskq:{id} of the source
-- ARGV  1 its incarnation   2 who follows, "id incarnation"
-- Returns 1; 0 if the source is gone.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'followers')
if map[1] ~= ARGV[1] then
    return 0
end
local known = map[2] or ''
if not string.find(',' .. known .. ',', ',' .. ARGV[2] .. ',', 1, true) then
    redis.call('HSET', KEYS[1], 'followers', known == '' and ARGV[2] or known .. ',' .. ARGV[2])
end
return 1
