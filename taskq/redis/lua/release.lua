-- Give claimed ranges back, at the front of the pending ones.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims
-- ARGV  1 the incarnation   2.. range, the claim as it is held ("token deaths body worker"), deaths to note, ...
-- Returns how many were released; a claim that is not held any more is left alone.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if map[1] ~= ARGV[1] then
    return 0
end
local released = 0
for i = 2, #ARGV, 3 do
    local range, claim, deaths = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if redis.call('HGET', KEYS[3], range) == claim then
        local body = string.match(claim, '^%S+ %S+ (%S+) ')
        redis.call('LPUSH', KEYS[2], range .. ' ' .. deaths .. ' ' .. (body or range)) -- first, see claim.lua
        redis.call('HDEL', KEYS[3], range)
        released = released + 1
    end
end
local ttl = redis.call('TTL', KEYS[1])
if released > 0 and ttl >= 0 then
    redis.call('EXPIRE', KEYS[2], ttl) -- the map was closed, and that list may have been made just now
end
return released
