-- Give claimed chunks back, at the front of the pending list.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims
-- ARGV  1 worker name
--       2.. chunk number, deaths to note, ... of the chunks to release; none: all that the worker holds,
--           with the deaths they have
-- Returns how many were released; a chunk that the worker doesn't hold is left alone.

local open = redis.call('HGET', KEYS[1], 'state') == 'open'

local function release(number, deaths)
    if open then
        redis.call('LPUSH', KEYS[2], number .. ':' .. deaths) -- first, for without memory it fails
    end
    redis.call('HDEL', KEYS[3], number)
end

local released = 0
if #ARGV > 1 then
    for i = 2, #ARGV, 2 do
        local claim = redis.call('HGET', KEYS[3], ARGV[i])
        if claim and string.match(claim, '^%d+ (.*)$') == ARGV[1] then
            release(ARGV[i], ARGV[i + 1])
            released = released + 1
        end
    end
else
    local claims = redis.call('HGETALL', KEYS[3])
    for i = #claims - 1, 1, -2 do
        local deaths, worker = string.match(claims[i + 1], '^(%d+) (.*)$')
        if worker == ARGV[1] then
            release(claims[i], deaths)
            released = released + 1
        end
    end
end
return released
