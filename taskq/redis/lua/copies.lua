-- Of a range that runs twice (speculate): what commit.lua, release.lua and split.lua have in common, and are made with.
--
-- Each of its two runs has a claim of its own: one in :claims, and a second one in :copies. Whoever commits first has
-- ended both. Who gives his claim back, or dies, leaves the range to the other one, whose claim is that in :claims then;
-- the deaths that he adds stand in :copies in place of a claim, and go with the range when the other goes, too.

-- Whether this is one of the claims of a range.
local function is_held(claims, copies, range, claim)
    local held = redis.call('HGET', claims, range)
    return held == claim or held and redis.call('HGET', copies, range) == claim
end

-- What the other one's claim is, of the two that there are while one of them is held; nil if there is none.
local function other_of(claims, copies, range, claim)
    local second = redis.call('HGET', copies, range)
    if second == claim then
        return redis.call('HGET', claims, range)
    end
    return second and string.find(second, ' ', 1, true) and second or nil
end

-- Leave the range to who else runs it; `deaths` are those to note, with those that the claim has. Returns whether there
-- is somebody; if not, the deaths of the one that was.
local function is_left_to_other(claims, copies, since, range, claim, deaths)
    local other = other_of(claims, copies, range, claim)
    if not other then
        return false, tonumber(redis.call('HGET', copies, range)) or 0
    end
    local before = tonumber(string.match(claim, '^%S+ (%d+) ')) or 0
    local more = deaths - (before - before % 1e7 + before % 1e6)
    local time = redis.call('TIME')
    redis.call('ZADD', since, string.format('%d.%06d', time[1], time[2]), range) -- first, see claim.lua
    redis.call('HSET', claims, range, other)
    if more > 0 then
        redis.call('HSET', copies, range, string.format('%d', more))
    else
        redis.call('HDEL', copies, range)
    end
    return true, 0
end
