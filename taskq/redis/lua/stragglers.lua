-- Which ranges of a map are to run a second time: what copy.lua and look.lua have in common, and are made with.
--
-- Ranges are known by since when they are claimed, workers by how long their last ones took. A range is to run again if
-- it has run for longer than twice the median of all, and than its worker usually takes; or at once, if its worker is
-- known to take longer than that, and it would be through sooner with who asks. What something has died of is not, and
-- nothing is that runs twice already, or has.

local enough_known = 3 -- ranges that have ended: of fewer, nobody knows what is usual
local shortest = 0.1 -- seconds: what has not run for so long is not worth it
local looked_at = 100 -- ranges, those that have run longest

local function median(times)
    table.sort(times)
    return times[math.ceil(#times / 2)]
end

-- The median of how long ranges took, of all and of each worker; nil if too little is known.
local function usual_times(took)
    local all, of = {}, {}
    for _, entry in ipairs(redis.call('LRANGE', took, 0, -1)) do
        local seconds, worker = string.match(entry, '^(%S+) (.+)$')
        seconds = tonumber(seconds)
        if seconds then
            all[#all + 1] = seconds
            of[worker] = of[worker] or {}
            table.insert(of[worker], seconds)
        end
    end
    if #all < enough_known then
        return nil
    end
    for worker, times in pairs(of) do
        of[worker] = median(times)
    end
    return median(all), of
end

-- For how long a range is to have run that this worker has, before another one, who takes `own` seconds, begins it.
local function worth_at(usual, own, middle, elapsed)
    local least = math.max(2 * middle, shortest)
    if usual > least and elapsed < usual - own then
        return 0
    end
    return math.max(least, usual, own)
end

-- Up to `most` ranges and their claims, {range, claim, range, claim, ...}, those first that have run longest; and, if there are
-- none, in how many seconds there is one, '' if that is not known.
--
-- keys: claims, copies, since, took. me: who asks. now: Unix time.
local function stragglers(keys, me, most, now)
    local middle, of = usual_times(keys[4])
    local found, wait = {}, math.huge
    if not middle then
        return found, ''
    end
    local running = redis.call('ZRANGE', keys[3], 0, looked_at - 1, 'WITHSCORES')
    for i = 1, #running, 2 do
        local range, elapsed = running[i], math.max(0, now - running[i + 1])
        local claim = redis.call('HGET', keys[1], range)
        local deaths, worker = string.match(claim or '', '^%S+ (%d+) %S+ (.+)$')
        if not claim then
            redis.call('ZREM', keys[3], range)
        elseif deaths and deaths % 1e6 == 0 and redis.call('HEXISTS', keys[2], range) == 0 then
            local at = worth_at(of[worker] or middle, of[me] or middle, middle, elapsed)
            if at > elapsed then
                wait = math.min(wait, at - elapsed)
            elseif #found < 2 * most then
                found[#found + 1] = range
                found[#found + 1] = claim
            end
        end
    end
    if #found > 0 then
        return found, '0'
    end
    return found, wait < math.huge and string.format('%.6f', wait) or ''
end
