-- Which ranges of a map a worker has claimed, among some of all claims: others' are not sent.
--
-- KEYS  1 :claims
-- ARGV  1 worker name   2 where to go on, "0" at first   3 how many claims to look at, about
-- Returns {where to go on, "0" at the end; range, claim as it is held, ...}.

local own = ' ' .. ARGV[1]
local found = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local reply = {found[1]}
for i = 1, #found[2], 2 do
    local claim = found[2][i + 1]
    if string.sub(claim, -#own) == own then
        reply[#reply + 1] = found[2][i]
        reply[#reply + 1] = claim
    end
end
return reply
