-- Have a map whose items are another's results (its source's) get those that are there by now, a bounded part.
--
-- Whoever likes may say this, at any moment and any number of times. What is read of the source, what it becomes
-- here and the place up to which that was done are of one moment, so nothing comes twice, or is passed over: also
-- if it is said late, or the server came back as it was some moments before. Results are copied with their
-- signatures, as they are.
--
-- Of a group of results that is one item, those that are there wait in :parts until it is whole. With a secret key
-- the last one, if it is smaller, waits until the map is sealed: it takes along what is signed then of the source's
-- number, by which who runs it knows that nothing was cut off.
--
-- KEYS  1 taskq:{id}   2 :bodies   3 :pending   4 :parts
--       5 the source's taskq:{id}   6 its :spans   7 its :results   8 rq:job: and its id
-- ARGV  1 the incarnation   2 the source as the map's hash has it, "id incarnation"   3 its incarnation
--       4 how many items of a chunk at most, if the map's hash does not say   5 of how many bytes it is full
--       6 how many results this call takes at most   7 after how many bytes it ends
--       8 what the total says of a map that is not sealed
--       9 the source's number of items, if it is sealed and this map is to be   10 this map's number then
--       11 the seal over what is announced then, '' without a key; of all three '' if not
--       12 channel of the map's events   13 channel of all services   14 the note for them that chunks are pending
--       15 template of a worker's channel, with %s
--       16 the signature over the source's number of items if the map is to be sealed, and with a key anything but
--       '' if not; '' without one
-- Returns 'more' if there was more than may be taken at once; 'waits' if all was taken, and more may come; 'over'
-- if not: the source has ended, or is gone; 'closed' if this map is not open, or has another source; '' if it is
-- gone.

--include ended

local map = redis.call('HMGET', KEYS[1], 'incarnation', 'state', 'source', 'together', 'taken', 'over', 'total',
    'done', 'failed', 'owner', 'next', 'chunk', 'passed', 'source_total')
if map[1] ~= ARGV[1] then
    return ''
end
if map[2] ~= 'open' or map[3] ~= ARGV[2] then
    return 'closed'
end
local source = redis.call('HMGET', KEYS[5], 'incarnation', 'state', 'total')
if source[1] ~= ARGV[3] then
    if not map[6] then
        redis.call('HSET', KEYS[1], 'over', 'gone')
    end
    return 'over'
end

local total, proof = map[7], map[14]
if ARGV[9] ~= '' and source[3] == ARGV[9] and map[7] == ARGV[8] then
    total = ARGV[10]
    redis.call('HSET', KEYS[1], 'total', total, 'seal', ARGV[11])
    if ARGV[16] ~= '' then
        proof = ARGV[16]
        redis.call('HSET', KEYS[1], 'source_total', proof)
    end
    redis.call('HDEL', KEYS[1], 'lease')
    redis.call('PUBLISH', ARGV[12], 'progress')
    if map[10] and (tonumber(map[8]) or 0) + (tonumber(map[9]) or 0) >= tonumber(ARGV[10]) then
        redis.call('PUBLISH', (string.gsub(ARGV[15], '%%s', (string.gsub(map[10], '%%', '%%%%')))),
            string.format('{"command": "taskq-complete", "map": "%s"}', string.match(KEYS[1], '{(.*)}$')))
    end
end

if map[6] and (map[6] ~= 'ended' or (tonumber(map[13]) or 0) > 0) then
    return 'over'
end -- else nothing has come of that yet, and the source may have been opened again meanwhile

local together = tonumber(map[4]) or 0
local all = source[3] ~= ARGV[8] and tonumber(source[3]) -- results that come; false: nobody knows yet
local waits = redis.call('EXISTS', KEYS[3]) == 1
local size = tonumber(map[12] or ARGV[4])
local items = 0 -- that were added

-- As items are written one by one: see body.py. No number here is larger than Lua can count.
local function frame(value)
    local length = #value
    return string.char(math.floor(length / 16777216) % 256, math.floor(length / 65536) % 256,
        math.floor(length / 256) % 256, length % 256) .. value
end
local function text(number)
    return string.format('%.0f', number)
end

local function add(kind, start, count, data)
    local range = text(start) .. ':' .. text(count)
    redis.call('HSET', KEYS[2], range, kind .. ' ' .. text(start) .. ' ' .. text(count) .. ' \n' .. data)
    redis.call('RPUSH', KEYS[3], range)
    items = items + count
end

-- Make a group an item, if all its results are there.
local function gather(group)
    local here = text(group)
    local known = redis.call('HGET', KEYS[4], here)
    local count, starts = string.match(known or '0', '^(%d+)(.*)$')
    local short = all and all - group * together < together
    if tonumber(count) ~= (short and all - group * together or together) then
        return
    end
    if short and total == ARGV[8] and ARGV[16] ~= '' then
        return
    end
    local order, parts = {}, {}
    for start in string.gmatch(starts, '%d+') do
        order[#order + 1] = tonumber(start)
    end
    table.sort(order)
    for i, start in ipairs(order) do
        local name = here .. ' ' .. text(start)
        parts[i] = redis.call('HGET', KEYS[4], name)
        redis.call('HDEL', KEYS[4], name)
    end
    redis.call('HDEL', KEYS[4], here)
    if short and proof then
        add('l', group, 1, frame(frame(proof) .. table.concat(parts)))
    else
        add('g', group, 1, frame(table.concat(parts)))
    end
end

-- Keep results of a group until all are there.
local function keep(group, start, count, data)
    local here = text(group)
    local known, starts = string.match(redis.call('HGET', KEYS[4], here) or '0', '^(%d+)(.*)$')
    redis.call('HSET', KEYS[4], here .. ' ' .. text(start), data)
    redis.call('HSET', KEYS[4], here, text(known + count) .. starts .. ' ' .. text(start))
    gather(group)
end

-- Some of the results of a run, not more than a chunk takes.
local function take(start, position, most)
    local values, bytes = {}, 0
    while #values < most and bytes < tonumber(ARGV[5]) do
        local first = position + #values
        local found = redis.call('LRANGE', KEYS[7], text(first), text(first + math.min(16, most - #values) - 1))
        if #found == 0 then
            return -1 -- somebody has deleted the list, or cut it: its map fails by that itself
        end
        for _, value in ipairs(found) do
            values[#values + 1] = frame(value)
            bytes = bytes + #value
        end
    end
    local data = table.concat(values)
    if together > 0 then
        keep(math.floor(start / together), start, #values, data)
    else
        add('r', start, #values, data)
    end
    return #values, bytes
end

local span, offset, position = string.match(map[5] or '0 0 0', '^(%d+) (%d+) (%d+)$')
span, offset, position = tonumber(span), tonumber(offset), tonumber(position)
local left, room, more = tonumber(ARGV[6]), tonumber(ARGV[7]), false
repeat
    local found = redis.call('LRANGE', KEYS[6], text(span), text(span + 63))
    for _, run in ipairs(found) do
        local start, count = string.match(run, '^(%d+):(%d+)$')
        start, count = tonumber(start), tonumber(count)
        while offset < count and left > 0 and room > 0 do
            local first = start + offset
            local most = math.min(size, count - offset, left)
            if together > 0 then
                most = math.min(together - first % together, count - offset, left)
            end
            local taken, bytes = take(first, position, most)
            if taken < 0 then
                redis.call('HSET', KEYS[1], 'over', 'gone')
                return 'over'
            end
            offset, position, left, room = offset + taken, position + taken, left - taken, room - bytes
        end
        if offset < count then
            more = true
            break
        end
        span, offset = span + 1, 0
    end
until more or #found < 64
local place = text(span) .. ' ' .. text(offset) .. ' ' .. text(position)
if all and together > 0 and not more then
    -- The last group is whole, though it is smaller: it was not known to be the last, perhaps, when its results
    -- came. All results together are an item also if there are none.
    local last = math.floor(math.max(0, all - 1) / together)
    local none = all == 0 and total == '1' and (tonumber(map[11]) or 0) == 0
    if none or redis.call('HEXISTS', KEYS[4], text(last)) == 1 then
        gather(last)
    end
end
if place ~= (map[5] or '') then
    redis.call('HSET', KEYS[1], 'taken', place)
end
if items > 0 then
    redis.call('HINCRBY', KEYS[1], 'next', items)
    if not waits then
        redis.call('PUBLISH', ARGV[13], ARGV[14])
        redis.call('PUBLISH', ARGV[12], 'progress')
    end
end
local ttl = redis.call('TTL', KEYS[1])
for i = 2, ttl >= 0 and 4 or 0 do -- nobody has begun it yet
    redis.call('EXPIRE', KEYS[i], ttl)
end

-- What has failed, or was not tried, stays so: the source has ended, and no retry of its own is to come.
if not more and ended(source[2], KEYS[8]) then
    redis.call('HSET', KEYS[1], 'over', 'ended')
    return 'over'
end
if map[6] then
    redis.call('HDEL', KEYS[1], 'over')
end
return more and 'more' or 'waits'
