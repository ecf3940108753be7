-- Which schemas are in use on this server, and whether one more may join them: see schema.py, admission.py.
--
-- In use is what live services say of themselves, and what a worker has reserved that is just starting. A service that
-- says nothing is of schema 1, beside which no other works.
--
-- KEYS  1 taskq:schema   2 taskq:services   3 taskq:leases
-- ARGV  1 the schema of who asks   2 seconds for which a worker reserves it, until its services are registered; 0: a
--       producer asks   3 seconds for which producers may take the answer for true
-- Returns {1 if it may, else 0; the least and the greatest in use, with its own if it reserves that, 0 for none; 1 if
-- another worker is just starting; 1 if its own was in use before}.

local function read(command, ...)
    local reply = redis.pcall(command, ...)
    return reply.err and {} or reply -- somebody has changed the key; those who write it make it anew
end

local own, reserve, fresh = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local least, greatest, known_before = math.huge, 0, 0

local function count(schema)
    least, greatest = math.min(least, schema), math.max(greatest, schema)
    known_before = schema == own and 1 or known_before
end

local known = read('HMGET', KEYS[1], 'starting', 'until')
local starting = (tonumber(known[2]) or 0) > now and tonumber(known[1])
if starting then
    count(starting)
end
local alive = {}
for _, name in ipairs(read('ZRANGEBYSCORE', KEYS[3], now, '+inf')) do
    alive[name] = true
end
local services = read('HGETALL', KEYS[2])
for i = 1, #services, 2 do
    if alive[services[i]] and string.find(services[i + 1], '^{"name": ') then -- else no service has said it
        count(math.min(tonumber(string.match(services[i + 1], '"schema": (%d+)')) or 1, 1e9))
    end
end

local free = greatest == 0
if not free and (least < 2 or greatest - own > 1 or own - least > 1) then
    return {0, least, greatest, starting and 1 or 0, known_before}
end
redis.call('DEL', KEYS[1])
if reserve > 0 then
    least, greatest = math.min(least, own), math.max(greatest, own)
    redis.call('HSET', KEYS[1], 'starting', own, 'until', now + reserve)
elseif starting then
    redis.call('HSET', KEYS[1], 'starting', known[1], 'until', known[2])
end
if greatest > 0 then
    redis.call('HSET', KEYS[1], 'least', least, 'greatest', greatest, 'fresh', now + fresh)
end
return {1, greatest > 0 and least or 0, greatest, starting and 1 or 0, known_before}
