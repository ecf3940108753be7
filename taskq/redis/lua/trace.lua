-- Keep what is known of the deaths of services that ran ranges of a map.
--
-- KEYS  1 taskq:{id}   2 :deaths
-- ARGV  1 the incarnation   2.. range, JSON of a Trace, ...
-- Returns 1; 0 if this incarnation is gone: nobody would ever delete what was written then.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
local ttl = redis.call('TTL', KEYS[1])
if ttl >= 0 then
    redis.call('EXPIRE', KEYS[2], ttl) -- it was closed meanwhile
end
return 1
