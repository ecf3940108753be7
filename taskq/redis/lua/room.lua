-- How much of a map may be claimed now: what claim.lua and look.lua have in common, and are made with.
--
-- At once are claimed as many ranges as may run: the claims are what is counted. Of a map with a rate, the moments at
-- which its last items were claimed are kept, by the server's clock; those that are older than the rate's time are
-- dropped. An item whose range was given back, or whose claim was lost, has had its place in the rate.

local seconds_of = {s = 1, m = 60, h = 3600}

local function moment()
    local time = redis.call('TIME')
    return time[1] + time[2] / 1e6
end

-- How many items may begin now by a rate such as '300/m'; and, if none may, in how many seconds one may.
local function permits(rate, starts, now)
    local most, unit = string.match(rate, '^(%d+)/(%a)$')
    local span = seconds_of[unit]
    if not span then
        return 0, math.huge -- nobody knows what it means; who reads the map's hash says so
    end
    local newest = tonumber(redis.call('LINDEX', starts, 0) or 0)
    if newest > now then -- the server's clock was set back: they were as long before each other, and the last is now
        for i, one in ipairs(redis.call('LRANGE', starts, 0, -1)) do
            redis.call('LSET', starts, i - 1, string.format('%.6f', one - newest + now))
        end
    end
    local oldest = redis.call('LINDEX', starts, -1)
    while oldest and tonumber(oldest) <= now - span do
        redis.call('RPOP', starts)
        oldest = redis.call('LINDEX', starts, -1)
    end
    local used = redis.call('LLEN', starts)
    if used < tonumber(most) then
        return most - used, 0
    end
    return 0, redis.call('LINDEX', starts, most - 1) + span - now
end

-- How many ranges may be claimed now; and if none may, in how many seconds one may, '' if that is not known.
--
-- keys: pending, again, claims, later, starts. caps: max_running, rate, retries, as they stand in the map's hash.
local function room(keys, caps, now)
    local left, wait = redis.call('LLEN', keys[1]) + redis.call('LLEN', keys[2]), math.huge
    if caps[3] then
        left = left + redis.call('ZCOUNT', keys[4], '-inf', string.format('%.6f', now))
        local first = left == 0 and redis.call('ZRANGE', keys[4], 0, 0, 'WITHSCORES')[2]
        wait = first and first - now or wait
    end
    if caps[1] then
        left = math.min(left, caps[1] - redis.call('HLEN', keys[3]))
    end
    if caps[2] and left > 0 then
        local free, seconds = permits(caps[2], keys[5], now)
        left, wait = math.min(left, free), free > 0 and wait or seconds
    end
    if left > 0 then
        return left, '0'
    end
    return 0, wait < math.huge and string.format('%.6f', wait) or ''
end
