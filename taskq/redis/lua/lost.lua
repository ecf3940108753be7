-- The workers whose lease is over, by the server's clock.
--
-- A registered service that has no lease (somebody has deleted them) gets one: so either it shows that it lives, or it
-- is among the lost later, with what it held.
--
-- KEYS  1 taskq:leases   2 taskq:services
-- ARGV  1 seconds of such a lease   2 how many to name at most
--       3 who asks: a service that has just renewed its lease, of so many seconds; '': anybody
-- A lease that ends later than it can is cut to its length: the server's clock was set back since.
--
-- Returns their names; of more than are to be named, others each time: as many may be dead as are alive, and each of
-- these would hear of all of those. Or nil if two thirds of the asker's lease are over: the server was away since it was
-- renewed. What others have to say may stand behind this, and their leases may have ended a third before.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
if ARGV[3] ~= '' and (tonumber(redis.call('ZSCORE', KEYS[1], ARGV[3])) or 0) - now < ARGV[1] / 3 then
    return false
end
if redis.call('HLEN', KEYS[2]) > redis.call('ZCARD', KEYS[1]) then
    for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
        redis.call('ZADD', KEYS[1], 'NX', string.format('%.6f', now + ARGV[1]), name)
    end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', now + ARGV[1] + 1), '+inf')) do
    local lease = string.match(redis.call('HGET', KEYS[2], name) or '', '"lease": ([%d.]+)')
    local ends = now + (tonumber(lease) or 0)
    if ends > now and tonumber(redis.call('ZSCORE', KEYS[1], name)) > ends + 1 then
        redis.call('ZADD', KEYS[1], string.format('%.6f', ends), name)
    end
end
local ended, most = string.format('%.6f', now), tonumber(ARGV[2])
local many = redis.call('ZCOUNT', KEYS[1], '-inf', ended)
local first = many > most and time[2] % (many - most + 1) or 0
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ended, 'LIMIT', first, most)
