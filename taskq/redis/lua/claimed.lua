-- Which ranges of a map a worker has claimed, among some of all claims: others' are not sent.
--
-- KEYS  1 :claims   2 :copies
-- ARGV  1 worker name   2 where to go on, "0" at first   3 how many claims to look at, about
-- Returns {where to go on, "0" at the end; range, claim as it is held, ...}: at first with the second claims of what
-- runs twice, which are few.

local own = ' ' .. ARGV[1]
local found = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local reply = {found[1]}

local function tell(claims)
    for i = 1, #claims, 2 do
        if string.sub(claims[i + 1], -#own) == own then
            reply[#reply + 1] = claims[i]
            reply[#reply + 1] = claims[i + 1]
        end
    end
end

tell(found[2])
if ARGV[2] == '0' then
    tell(redis.call('HGETALL', KEYS[2]))
end
return reply
