-- How many pool processes run a job now, and how many there are, as live services tell.
--
-- What they tell is counted and not read: of many services it is long, and anything may stand there. It is counted for
-- all jobs at once, and for all who ask within a moment that grows with the number of services: else each program that
-- waits for a map would have the server read all of that.
--
-- KEYS  1 taskq:leases   2 taskq:activity   3 taskq:busy
-- ARGV  1 the job's id   2 how many services are so few that they are always counted
--       3 microseconds of that moment, for each further one
-- Returns the two numbers.

--include known

local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]
local known = read('HMGET', KEYS[3], ' until', ' services', ' all', ARGV[1]) -- no id of a job begins so
local till, services, all = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
if till and services and all and till > now and till <= now + services * ARGV[3] then
    return {tonumber(known[4]) or 0, all}
end

services, all = 0, 0
local busy = {}
for _, name in ipairs(read('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', now / 1e6), '+inf')) do
    local told = redis.pcall('HGET', KEYS[2], name)
    if type(told) == 'string' then
        services = services + 1
        for _ in string.gmatch(told, '"lane": %d') do
            all = all + 1
        end
        for id in string.gmatch(told, '"job": "([%w_-]+)"') do
            busy[id] = (busy[id] or 0) + 1
        end
    end
end

if services <= tonumber(ARGV[2]) then
    return {busy[ARGV[1]] or 0, all}
end
-- Without memory the server takes none of this, and it is counted each time.
redis.pcall('DEL', KEYS[3])
till = now + (services - ARGV[2]) * ARGV[3]
redis.pcall('HSET', KEYS[3], ' until', string.format('%.0f', till), ' services', services, ' all', all)
for id, count in pairs(busy) do
    redis.pcall('HSET', KEYS[3], id, count)
end
redis.pcall('EXPIRE', KEYS[3], 60)
return {busy[ARGV[1]] or 0, all}
