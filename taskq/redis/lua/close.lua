-- Stop a map: from now on no chunk is claimed and no commit is accepted.
--
-- What is left stays in the chunks hash, so that the map can be opened again (retry, requeue) until it expires.
--
-- KEYS  1 taskq:{id}   2 :pending   3 :claims   4 :events (a channel)
-- ARGV  1 the reason, for people; '' if there is nothing to say   2 Unix time now
--       3 the map's id   4 template of a worker's channel, with %s   5 "1" if what runs of it is to be killed
-- Returns 1; 0 if there is no such map.

if redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
redis.call('HSET', KEYS[1], 'state', 'closed', 'ended', ARGV[2], 'kill', ARGV[5])
if ARGV[1] ~= '' then
    redis.call('HSET', KEYS[1], 'reason', ARGV[1])
end
-- Whoever works on it is told, and lets go of it at once.
local told = {}
for _, claim in ipairs(redis.call('HVALS', KEYS[3])) do
    local worker = string.match(claim, '^%d+ (.*)$')
    if worker and not told[worker] then
        told[worker] = true
        redis.call('PUBLISH', (string.gsub(ARGV[4], '%%s', (string.gsub(worker, '%%', '%%%%')))),
            '{"command": "taskq-look", "map": "' .. ARGV[3] .. '"}')
    end
end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('PUBLISH', KEYS[4], 'progress')
return 1
