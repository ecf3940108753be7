-- How many services are alive, and how many pool processes they bring: in all, and to one queue.
--
-- What they say of themselves is counted and not read, once for all who ask within a moment that grows with their
-- number: so what the server spends on it each second does not depend on how many ask.
--
-- KEYS  1 taskq:leases   2 taskq:services   3 taskq:fleet
-- ARGV  1 the queue's name, as it stands in a JSON text   2 how many services are so few that they are always counted
--       3 microseconds of that moment, for each further one
-- Returns {services, processes of all, processes of those that listen on the queue}.

local MOST = 10000 -- processes that a service can have

--include known

local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]
local field = 'queue ' .. ARGV[1]
local known = read('HMGET', KEYS[3], 'until', 'services', 'processes', field)
local till, alive, all = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
if till and alive and all and till > now and till <= now + alive * ARGV[3] then
    return {alive, all, tonumber(known[4]) or 0}
end

local said = {}
local flat = read('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
    said[flat[i]] = flat[i + 1]
end
alive, all = 0, 0
local of = {}
for _, name in ipairs(read('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', now / 1e6), '+inf')) do
    local processes, queues = string.match(said[name] or '', '"processes": (%d+), "queues": %[(.-)%], "python": ')
    if processes and string.find(said[name], '^{"name": ') then -- else no service has said it
        local count = math.min(tonumber(processes), MOST)
        alive, all = alive + 1, all + count
        local seen = {} -- a name that holds '", ' is not read right, and counts for others' queues at most once
        for queue in string.gmatch(queues .. ', ', '(".-"), ') do
            of[queue] = (of[queue] or 0) + (seen[queue] and 0 or count)
            seen[queue] = true
        end
    end
end

if alive <= tonumber(ARGV[2]) then
    return {alive, all, of[ARGV[1]] or 0}
end
-- Without memory the server takes none of this, and it is counted each time.
local told = {'until', string.format('%.0f', now + (alive - ARGV[2]) * ARGV[3]), 'services', alive, 'processes', all}
for queue, count in pairs(of) do
    if #told < 2000 then
        told[#told + 1], told[#told + 2] = 'queue ' .. queue, count
    end
end
redis.pcall('DEL', KEYS[3])
redis.pcall('HSET', KEYS[3], unpack(told))
redis.pcall('EXPIRE', KEYS[3], 60)
return {alive, all, of[ARGV[1]] or 0}
