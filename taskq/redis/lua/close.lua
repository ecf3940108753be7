-- Stop a map: from now on nothing of it is claimed, and no commit is accepted.
--
-- What is left stays where it is, so that the map can be opened again (retry, requeue) until it expires.
--
-- KEYS  1 taskq:{id}
-- ARGV  1 the incarnation   2 the reason, for people; '' if there is nothing to say
--       3 the map's id   4 "1" if what runs of it is to be killed
--       5 channel of the map's events   6 channel of all services   7 the note for them
-- Returns 1; 0 if this incarnation is gone.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
    return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', 'closed', 'ended', string.format('%d.%06d', time[1], time[2]), 'kill', ARGV[4])
if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], 'reason', ARGV[2])
end
-- Whoever works on it lets go of it at once, if it hears this; else when it looks next, or commits.
redis.call('PUBLISH', ARGV[6], '{"command": "' .. ARGV[7] .. '", "map": "' .. ARGV[3] .. '"}')
redis.call('PUBLISH', ARGV[5], 'progress')
return 1
