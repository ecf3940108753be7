-- Say that a process has nothing to do, unless somebody has said so a moment ago.
--
-- All services hear it. Were each that is idle to say it, many would hear as much as the square of their number.
--
-- KEYS  1 taskq:called
-- ARGV  1 channel of all services   2 the note   3 milliseconds of that moment
-- Returns whether it was said (1 or 0). Without memory it is not: nothing hangs on it.

local first = redis.pcall('SET', KEYS[1], '1', 'NX', 'PX', ARGV[3])
if not first or first.err then
    return 0
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
