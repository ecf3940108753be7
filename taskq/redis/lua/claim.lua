-- Claim pending chunks for a worker.
--
-- A claim is the only right to commit a chunk: whoever loses it (lease over, map closed) commits nothing.
-- In all of these scripts, what needs memory is written before anything is removed: a server without memory lets
-- a script remove and then refuses to write, and the chunk would be nowhere.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :chunks
-- ARGV  1 worker name   2 how many chunks at most
-- Returns {state, chunks still pending, number, deaths, payload, number, deaths, payload, ...};
-- state is '' if the map is gone, and nothing is claimed unless it is 'open'.

local state = redis.call('HGET', KEYS[1], 'state') or ''
local reply = {state, 0}
if state ~= 'open' then
    return reply
end
for _ = 1, tonumber(ARGV[2]) do
    local entry = redis.call('LINDEX', KEYS[2], 0)
    if not entry then
        break
    end
    local number, deaths = string.match(entry, '^(%d+):?(%d*)$')
    local payload = number and redis.call('HGET', KEYS[4], number)
    if payload then
        if deaths == '' then
            deaths = '0'
        end
        redis.call('HSET', KEYS[3], number, deaths .. ' ' .. ARGV[1])
        reply[#reply + 1] = number
        reply[#reply + 1] = deaths
        reply[#reply + 1] = payload
    end
    redis.call('LPOP', KEYS[2])
end
reply[2] = redis.call('LLEN', KEYS[2])
return reply
