-- Give claimed ranges back, at the front of the pending ones; one that runs twice is left to who else runs it.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :copies   5 :since
-- ARGV  1 the incarnation   2.. range, the claim as it is held ("token deaths body worker"), deaths to note, ...
-- Returns how many were released; a claim that is not held any more is left alone.

--include copies

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'speculate')
if map[1] ~= ARGV[1] then
    return 0
end
local released = 0
for i = 2, #ARGV, 3 do
    local range, claim, deaths = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if is_held(KEYS[3], KEYS[4], range, claim) then
        local goes_on, more = false, 0
        if map[3] then
            goes_on, more = is_left_to_other(KEYS[3], KEYS[4], KEYS[5], range, claim, tonumber(deaths))
        end
        if not goes_on then
            local body = string.match(claim, '^%S+ %S+ (%S+) ')
            deaths = string.format('%d', deaths + more)
            redis.call('LPUSH', KEYS[2], range .. ' ' .. deaths .. ' ' .. (body or range)) -- first, see claim.lua
            redis.call('HDEL', KEYS[3], range)
            if map[3] then
                redis.call('HDEL', KEYS[4], range)
                redis.call('ZREM', KEYS[5], range)
            end
        end
        released = released + 1
    end
end
local ttl = redis.call('TTL', KEYS[1])
if released > 0 and ttl >= 0 then
    redis.call('EXPIRE', KEYS[2], ttl) -- the map was closed, and that list may have been made just now
end
return released
