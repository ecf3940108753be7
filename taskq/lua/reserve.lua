-- Take job ids from RQ's queues, in the order given, without a moment in which an id is in no list.
--
-- KEYS  1 rq:suspended
--       2.. for each queue: rq:queue:{name}, rq:queue:{name}:intermediate
-- ARGV  1 how many at most
--       2 "1": one of each queue in turn; else all of the first, then all of the second, ...
-- Returns {number of the queue (from 0), job id, ...}, flat; or -1 if RQ's workers are suspended.

if redis.call('EXISTS', KEYS[1]) == 1 then
    return -1
end
local reply = {}
local left = tonumber(ARGV[1])
local found
repeat
    found = false
    for i = 2, #KEYS, 2 do
        while left > 0 do
            local id = redis.call('LMOVE', KEYS[i], KEYS[i + 1], 'LEFT', 'RIGHT')
            if not id then
                break
            end
            reply[#reply + 1] = (i - 2) / 2
            reply[#reply + 1] = id
            left = left - 1
            found = true
            if ARGV[2] == '1' then
                break
            end
        end
    end
until not found or ARGV[2] ~= '1' or left == 0
return reply
