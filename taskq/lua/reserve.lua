-- Take job ids from RQ's queues, in order of priority, without a moment in which an id is in no list.
--
-- KEYS  for each queue: rq:queue:{name}, rq:queue:{name}:intermediate
-- ARGV  1 how many at most
-- Returns {number of the queue (from 0), job id, ...}, flat.

local reply = {}
local left = tonumber(ARGV[1])
for i = 1, #KEYS, 2 do
    while left > 0 do
        local id = redis.call('LMOVE', KEYS[i], KEYS[i + 1], 'LEFT', 'RIGHT')
        if not id then
            break
        end
        reply[#reply + 1] = (i - 1) / 2
        reply[#reply + 1] = id
        left = left - 1
    end
end
return reply
