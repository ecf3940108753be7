-- Claim one certain range, whose place among the pending ones was seen a moment ago.
--
-- KEYS  1 taskq:{id}   2 :pending or :again   3 :claims   4 :bodies
-- ARGV  1 the incarnation   2 who claims   3 the token   4 the place   5 what stood there
-- Returns {1, range, deaths, range of the body, body}; {0} if it stands there no more, its body is not there, or the
-- map is not open.

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'enough')
if map[1] ~= ARGV[1] or map[2] ~= 'open' or map[3] or redis.call('LINDEX', KEYS[2], ARGV[4]) ~= ARGV[5] then
    return {0}
end
local range, deaths, named = string.match(ARGV[5], '^(%d+:%d+) ?(%d*) ?(%S*)$')
if not range then
    return {0}
end
deaths = tonumber(deaths) or 0
deaths = string.format('%d', deaths - deaths % 1e7 + deaths % 1e6) -- see claim.lua
named = named ~= '' and named or range
local body = redis.call('HGET', KEYS[4], named)
if not body then
    return {0}
end
redis.call('HSET', KEYS[3], range, table.concat({ARGV[3], deaths, named, ARGV[2]}, ' ')) -- first, see claim.lua
local first = redis.call('LINDEX', KEYS[2], 0)
if ARGV[4] ~= '0' then
    redis.call('LSET', KEYS[2], ARGV[4], first) -- in its place, and nothing need be searched for
end
redis.call('LPOP', KEYS[2])
return {1, range, deaths, named, body}
