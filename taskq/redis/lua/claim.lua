-- Claim pending ranges for a worker.
--
-- A claim is the only right to commit a range, and its token is new each time: whoever loses it (lease over, map
-- closed, server rolled back) commits nothing, even if the same worker holds the same range again.
-- In all of these scripts, what needs memory is written before anything is removed: a server without memory lets
-- a script remove and then refuses to write, and the range would be nowhere.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :again   4 :claims   5 :bodies   6 :later   7 :starts:{incarnation}   8 :since
-- ARGV  1 the incarnation   2 worker name   3 how many ranges at most
--       4 what the tokens begin with; nobody else has it, and it is used once
-- Returns {state, ranges that may still be claimed now, if none: seconds until one may ('': not known), 1 if each claim
-- is for one item, since there is a rate; range, token, deaths, range of the body, body, ...}; the body is '' if it is
-- not there, and then its range stays where it was. The state is '' if this incarnation is gone; nothing is claimed
-- unless it is 'open', and the map is not paused, nor has all the results that it wants.

--include room

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'paused', 'max_running', 'rate', 'retries', 'enough',
    'speculate')
if map[1] ~= ARGV[1] then
    return {'', 0, '', 0}
end
local reply = {map[2], 0, '', map[5] and 1 or 0}
if map[2] ~= 'open' then
    return reply
end
if map[3] or map[7] then
    return reply
end
local most, now, caps, keys = tonumber(ARGV[3]), nil, nil, nil
if map[4] or map[5] or map[6] then
    now, caps = moment(), {map[4], map[5], map[6]}
    keys = {KEYS[2], KEYS[3], KEYS[4], KEYS[6], KEYS[7]}
    most = math.min(most, (room(keys, caps, now)))
end
if map[6] then -- what is to be tried again, and is due, comes next
    local due = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', string.format('%.6f', now), 'LIMIT', 0, most)
    for i = #due, 1, -1 do
        redis.call('LPUSH', KEYS[2], due[i])
        redis.call('ZREM', KEYS[6], due[i])
    end
end
local from = KEYS[2]
for i = 1, most do
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
    deaths = tonumber(deaths) or 0
    deaths = string.format('%d', deaths - deaths % 1e7 + deaths % 1e6) -- without the mark of one that was given
    named = named ~= '' and named or range
    local body = redis.call('HGET', KEYS[5], named)
    local token = ARGV[4] .. i
    if body then
        if map[5] then -- first, so that nothing is claimed that is not counted
            redis.call('LPUSH', KEYS[7], string.format('%.6f', now))
            redis.call('EXPIRE', KEYS[7], 3601)
        end
        if map[8] then
            redis.call('ZADD', KEYS[8], string.format('%.6f', now or moment()), range)
        end
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
if caps then
    reply[2], reply[3] = room(keys, caps, now)
else
    reply[2] = redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3])
end
return reply
