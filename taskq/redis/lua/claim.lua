-- Claim pending ranges for a worker.
--
-- A claim is the only right to commit a range, and its token is new each time: whoever loses it (lease over, map
-- closed, server rolled back) commits nothing, even if the same worker holds the same range again.
-- In all of these scripts, what needs memory is written before anything is removed: a server without memory lets
-- a script remove and then refuses to write, and the range would be nowhere.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :again   4 :claims   5 :bodies
-- ARGV  1 the incarnation   2 worker name   3 how many ranges at most
--       4 what the tokens begin with; nobody else has it, and it is used once
-- Returns {state, ranges still pending, range, token, deaths, range of the body, body, ...}; the body is '' if it is
-- not there, and then its range stays where it was. The state is '' if this incarnation is gone; nothing is claimed
-- unless it is 'open', and the map is not paused, nor has all the results that it wants.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'paused', 'enough')
if map[1] ~= ARGV[1] then
    return {'', 0}
end
local reply = {map[2], 0}
if map[2] ~= 'open' then
    return reply
end
if map[3] or map[4] then
    return reply
end
local from = KEYS[2]
for i = 1, tonumber(ARGV[3]) do
    local entry = redis.call('LINDEX', from, 0)
    if not entry and from == KEYS[2] then
        from = KEYS[3]
        entry = redis.call('LINDEX', from, 0)
    end
    if not entry then
        break
    end
    local range, deaths, named = string.match(entry, '^(%d+:%d+) ?(%d*) ?(%S*)$')
    range = range or entry
    deaths = string.format('%d', (tonumber(deaths) or 0) % 1000000) -- without the mark of one that was given
    named = named ~= '' and named or range
    local body = redis.call('HGET', KEYS[5], named)
    local token = ARGV[4] .. i
    if body then
        redis.call('HSET', KEYS[4], range, table.concat({token, deaths, named, ARGV[2]}, ' '))
        redis.call('LPOP', from)
    end
    for _, part in ipairs({range, token, deaths, named, body or ''}) do
        reply[#reply + 1] = part
    end
    if not body then
        break
    end
end
reply[2] = redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3])
return reply
