-- How many pool processes run a job now, and how many there are, as live services tell.
--
-- What they tell is counted and not read: of many services it is long, and anything may stand there.
--
-- KEYS  1 taskq:leases   2 taskq:activity
-- ARGV  1 what stands there of a process that runs the job   2 what stands there of every process
-- Returns the two numbers.

local function occurrences(of, text)
    local found, at = 0, 1
    while true do
        local _, last = string.find(text, of, at, true)
        if not last then
            return found
        end
        found, at = found + 1, last + 1
    end
end

local time = redis.call('TIME')
local busy, all = 0, 0
local alive = redis.pcall('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', time[1] + time[2] / 1e6), '+inf')
for _, name in ipairs(alive.err and {} or alive) do
    local told = redis.pcall('HGET', KEYS[2], name)
    if type(told) == 'string' then
        busy, all = busy + occurrences(ARGV[1], told), all + occurrences(ARGV[2], told)
    end
end
return {busy, all}
