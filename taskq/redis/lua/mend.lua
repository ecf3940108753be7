-- Delete those keys which all services share and which nobody can work with; they come back by themselves.
--
-- The server says what they are, and what time it is: no client can be wrong about that, and take from the others
-- what is sound.
--
-- KEYS  1 the timeline, 2... others
-- ARGV  1... for each key its type (TYPE's word), then: the seconds by which the timeline may be ahead of the clock
-- Returns the keys that were deleted. A timeline is also one whose last entry is of a time to come: none can be added.

local function type_of(key)
    local kind = redis.call('TYPE', key)
    return kind.ok or kind
end

local function is_ahead(key, seconds)
    local told = redis.call('XINFO', 'STREAM', key)
    for at = 1, #told, 2 do
        local name = told[at]
        if name == 'last-generated-id' then
            local milliseconds = tonumber(string.match(told[at + 1], '^%d+'))
            return milliseconds / 1000 > redis.call('TIME')[1] + seconds
        end
    end
    return false
end

local deleted = {}
for at, key in ipairs(KEYS) do
    local kind = type_of(key)
    local wrong = kind ~= 'none' and kind ~= ARGV[at]
    if not wrong and at == 1 and kind == 'stream' then
        wrong = is_ahead(key, tonumber(ARGV[#KEYS + 1]))
    end
    if wrong then
        redis.call('DEL', key)
        deleted[#deleted + 1] = key
    end
end
return deleted
