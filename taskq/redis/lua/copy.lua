-- Claim ranges a second time that run for longer than they should, for a worker that has nothing else to do.
--
-- The first claim stays as it is: whoever commits first has ended both (copies.lua). What is to run twice, and when, says
-- stragglers.lua.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :again   4 :claims   5 :bodies   6 :copies   7 :since   8 :took
-- ARGV  1 the incarnation   2 worker name   3 how many ranges at most   4 what the tokens begin with, as for claim.lua
-- Returns what claim.lua does: {state, ranges that may be claimed, if there are none: seconds until one may be claimed a
-- second time ('': not known), 0; range, token, deaths, range of the body, body, ...}. Nothing is claimed twice while
-- anything is pending, or if the map has caps by now, is paused, or has all the results that it wants.

--include stragglers

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'paused', 'max_running', 'rate', 'enough', 'speculate')
if map[1] ~= ARGV[1] then
    return {'', 0, '', 0}
end
local reply = {map[2], redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3]), '', 0}
if map[2] ~= 'open' or map[3] or map[4] or map[5] or map[6] or not map[7] or reply[2] > 0 then
    return reply
end
local time, keys = redis.call('TIME'), {KEYS[4], KEYS[6], KEYS[7], KEYS[8]}
local now = time[1] + time[2] / 1e6
local found = stragglers(keys, ARGV[2], tonumber(ARGV[3]), now)
local made = 0
for i = 1, #found, 2 do
    local deaths, named = string.match(found[i + 1], '^%S+ (%d+) (%S+) ')
    local body = redis.call('HGET', KEYS[5], named)
    if body then -- else who has the first claim finds out what is wrong
        local token = ARGV[4] .. i
        redis.call('HSET', KEYS[6], found[i], table.concat({token, deaths, named, ARGV[2]}, ' '))
        for _, part in ipairs({found[i], token, deaths, named, body}) do
            reply[#reply + 1] = part
        end
        made = made + 1
    end
end
if made > 0 then
    redis.call('HINCRBY', KEYS[1], 'copied', made)
end
local _, wait = stragglers(keys, ARGV[2], 0, now)
reply[3] = wait
return reply
